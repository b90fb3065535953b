"""What became of a request: HAProxy's backend, status and session state in ELB's words.

HAProxy's session state is two letters: who ended it, and in which phase. In capitals it was closed, in small letters
a time was over: C the client, S the target, P the proxy, which refused it, L the proxy, which answered; and R while the
request came, C while connecting, H while waiting for headers, D in the data. `--` is a good end.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from pipeline.balancer.telemetry.line import Line

Action = Literal["forward", "redirect", "fixed-response"]

# ELB's code for a client that did not wait for the answer. HAProxy has none.
CLIENT_CLOSED = 460
_ANSWERED_HERE = re.compile(r"listener\.\d+\.\d+")
_REFUSALS = {
    401: "Unauthorized",
    403: "Forbidden",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    413: "ContentTooLarge",
    463: "TooManyForwarders",
    464: "ProtocolVersionMismatch",
    500: "InternalError",
    501: "NotImplemented",
    505: "HttpVersionNotSupported",
}
_REASONS = {
    "C": "ClientClosedConnection",
    "c": "ClientTimeout",
    "SC": "TargetConnectionError",
    "sC": "TargetConnectionTimeout",
    "S": "TargetClosedConnection",
    "s": "TargetTimeout",
    "PR": "MalformedRequest",
    "PH": "TargetInvalidResponse",
    "PD": "TargetInvalidResponse",
    "K": "DeregistrationDelayElapsed",
    "D": "TargetUnhealthy",
}


class Outcome(NamedTuple):
    """Where a request went, and how it ended. `target` is its address and port."""

    load_balancer: str
    target_group: str | None
    target: str | None
    action: Action | None
    elb_status: int | None
    target_status: int | None
    error_reason: str | None

    @classmethod
    def of(cls, line: Line) -> Outcome:
        """Work it out."""
        status = _positive(line.numbers["status"])
        target_status = _positive(line.numbers["target_status"])
        if _client_left(line.fields["termination"], target_status):
            status = CLIENT_CLOSED
        action = None if was_refused(line) else _action(line.fields["backend"], status)
        return cls(
            load_balancer=_load_balancer(line.fields["listener"]),
            target_group=_target_group(line.fields["backend"]) if action == "forward" else None,
            # Only with a server is it a target's address.
            target=line.text("target") if line.text("server") else None,
            action=action,
            elb_status=status,
            target_status=target_status,
            error_reason=_error_reason(line, action, status, target_status),
        )


def was_refused(line: Line) -> bool:
    """Whether it was answered before it was whole, or before the rules were asked."""
    termination = line.fields["termination"]
    return line.fields["backend"] == line.fields["listener"] or (termination[1] == "R" and termination[0] != "L")


def _client_left(termination: str, target_status: int | None) -> bool:
    """Whether the client was gone before there was an answer. While the request comes, that is a bad request."""
    return termination[0] == "C" and termination[1] != "R" and target_status is None


def _action(backend: str, status: int | None) -> Action | None:
    if _ANSWERED_HERE.fullmatch(backend):
        return "redirect" if status is not None and 300 <= status < 400 else "fixed-response"
    return "forward"


def _error_reason(line: Line, action: Action | None, status: int | None, target_status: int | None) -> str | None:
    """Why it did not go as it should, in the style of ELB's codes."""
    termination = line.fields["termination"][:2]
    if termination == "--" or (target_status == 101 and termination[1] == "D"):
        return None  # A tunnel is over when somebody closes it.
    if termination[0] == "L" and action in ("redirect", "fixed-response"):
        return None
    if action == "forward" and line.text("server") is None and termination[0] in "Ss":
        return "NoTarget"
    if target_status is None and status in _REFUSALS:
        return _REFUSALS[status]
    return _REASONS.get(termination) or _REASONS.get(termination[0]) or "InternalError"


def load_balancer_name(owner: str, name: str) -> str:
    """ELB's `app/NAME/ID`. The owner stands for the id: it makes the name unique."""
    return f"app/{name}/{owner}"


@lru_cache(maxsize=1024)
def _load_balancer(frontend: str) -> str:
    owner, name, _ = frontend.split(".")
    return load_balancer_name(owner, name)


@lru_cache(maxsize=1024)
def _target_group(backend: str) -> str:
    """The group without what may follow: the backend for when too few of its targets are healthy."""
    return ".".join(backend.split(".")[:2])


def _positive(number: int) -> int | None:
    return number if number > 0 else None
