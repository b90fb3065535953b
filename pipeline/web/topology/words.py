"""Rates, states and names of a picture as short texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pipeline.balancer.model import TargetState
from pipeline.balancer.rule_text import ALL_PACKETS
from pipeline.http.responses.balancer import ListenerResponse, TargetHealthResponse

_ORDER = ("exited", *map(str, TargetState))


def rate_text(rate: float | None) -> str:
    """Return requests per second. Empty if they are not known."""
    if rate is None:
        return ""
    if rate == 0:
        return "0/s"
    return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.1f}/s" if rate >= 0.1 else "<0.1/s"


def place_text(listener: ListenerResponse) -> str:
    """Return the URLs of a listener, or which packets it takes if it has none."""
    return ", ".join(listener.urls) or ALL_PACKETS


def state_of(target: TargetHealthResponse) -> str:
    """Return the state of a target, which is `exited` as soon as the engine has reported that of its container."""
    return "exited" if target.exited else str(target.state)


def state_text(target: TargetHealthResponse) -> str:
    """Return the state of a target, with the code if its container has exited."""
    return f"exited ({target.exited.exit_code})" if target.exited else str(target.state)


def reason_text(target: TargetHealthResponse) -> str:
    """Return why a target is not healthy, empty if it is."""
    if target.exited:
        return f"its container exited with code {target.exited.exit_code}"
    return target.description or target.reason


def work_text(target: TargetHealthResponse) -> str:
    """Return what a target is doing: its open requests or connections, and its rate."""
    if target.requests_per_second is None:
        return f"{target.in_flight} connection{'' if target.in_flight == 1 else 's'}"
    return f"{target.in_flight} in flight, {rate_text(target.requests_per_second)}"


def counts(targets: Iterable[TargetHealthResponse]) -> list[tuple[str, int]]:
    """Return the number of targets in each state, the states in a fixed order and those that exited first."""
    found = Counter("exited" if target.exited else target.state for target in targets)
    return [(state, found[state]) for state in _ORDER if state in found]


def counts_text(targets: Sequence[TargetHealthResponse]) -> str:
    """Return the number of targets in each state, or that there are none."""
    return ", ".join(f"{count} {state}" for state, count in counts(targets)) or "no targets"


def cut(text: str, length: int) -> str:
    """Return the beginning of a text, with an ellipsis if it is longer."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def cut_start(text: str, length: int) -> str:
    """Return the end of a text, in which the names of targets differ."""
    return text if len(text) <= length else f"…{text[1 - length :]}"
