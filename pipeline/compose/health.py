"""Health checks: those of Compose run a command in the container, those of target groups request a page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pipeline.base.quantity import format_duration
from pipeline.compose.commands import command_of
from pipeline.compose.view import View

_URL = re.compile(r"(https?)://([A-Za-z0-9_.\-\[\]:]*?)(?::(\d{1,5}))?(/[!-~]*?)?(?=[\s\"'`);,\]]|$)")
_CLIENT = re.compile(r"\b(curl|wget|http|https|fetch|urllib|requests|httpx|urlopen|Invoke-WebRequest|axios)\b")
_OWN = frozenset({"", "localhost", "127.0.0.1", "0.0.0.0", "[::1]", "[::]", "::1"})  # noqa: S104 - no address is bound here
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Check:
    """A health check of Compose. Without `words`, it is the image's. `key` is that of the command."""

    view: View
    words: list[str] | None
    is_off: bool
    interval: timedelta | None
    timeout: timedelta | None
    retries: int | None
    start_period: timedelta | None

    @property
    def is_empty(self) -> bool:
        """True if nothing is set."""
        return not (self.words or self.is_off or self.interval or self.timeout or self.retries)


def check_of(service: View) -> Check | None:
    """Return the health check of a service."""
    view = service.view("healthcheck")
    if view is None:
        return None
    words, off = _test(view)
    return Check(
        view,
        words,
        off or bool(view.boolean("disable")),
        view.duration("interval"),
        view.duration("timeout"),
        view.whole("retries"),
        view.duration("start_period"),
    )


def _test(view: View) -> tuple[list[str] | None, bool]:
    """Return the command of a check, and whether it is switched off."""
    value = view.data.get("test")
    if value is None:
        return None, False
    if isinstance(value, str):
        return (["sh", "-c", value], False) if value.strip() else (None, False)
    words = view.words("test") or []
    form = words[0] if words else ""
    if form == "NONE":
        return None, True
    if form == "CMD-SHELL":
        return ["sh", "-c", " ".join(words[1:])], False
    if form != "CMD" or len(words) < 2:
        view.mistake("test", f"must begin with CMD, CMD-SHELL or NONE, got {form!r}", "write [CMD, curl, -f, URL]")
        return None, False
    return words[1:], False


def command_check(check: Check, environment: dict[str, str | None]) -> dict[str, Any]:
    """Return `health_check` of a service without a target group, or of an accessory."""
    if check.is_off:
        return {"uptime": "5s"}
    found: dict[str, Any] = {}
    if check.words:
        found["command"] = command_of(check.view, "test", check.words, environment)
    if check.interval:
        found["interval"] = format_duration(min(max(check.interval, _SECOND), timedelta(hours=1)))
    if check.timeout:
        found["timeout"] = format_duration(min(max(check.timeout, _SECOND), timedelta(hours=1)))
    if check.retries and check.retries > 0:
        found["unhealthy_threshold"] = min(check.retries, 100)
    return found


def page_check(check: Check, port: int, host_names: frozenset[str]) -> dict[str, Any] | None:
    """Return `health_check` of a target group, or None if the command does not request a page of its own container."""
    place, path = check.view.place("test"), check.view.where("test")
    text = check.view.variables.resolve(" ".join(check.words or ()), place, path)
    match = _URL.search(text)
    if not match or not _CLIENT.search(text.replace(match[0], " ")) or match[2].lower() not in _OWN | host_names:
        return None
    found: dict[str, Any] = {"protocol": "HTTPS"} if match[1] == "https" else {}
    found["path"] = match[4] or "/"
    other = int(match[3] or (443 if match[1] == "https" else 80))
    if other != port and 1 <= other <= 65535:
        found["port"] = other
    return {**found, **_times(check)}


def checked_port(check: Check) -> int | None:
    """Return the port that a check by HTTP requests, or None."""
    text = check.view.variables.resolve(" ".join(check.words or ()), check.view.place("test"), check.view.where("test"))
    match = _URL.search(text)
    return int(match[3]) if match and match[3] and match[2].lower() in _OWN and 0 < int(match[3]) <= 65535 else None


def _times(check: Check) -> dict[str, Any]:
    """Return the times of a check within the limits of target groups."""
    found: dict[str, Any] = {}
    interval = min(max(check.interval or timedelta(seconds=1), _SECOND), timedelta(minutes=5))
    timeout = min(check.timeout, timedelta(minutes=2)) if check.timeout else None
    if timeout and timeout >= interval:
        interval = min(timeout + _SECOND, timedelta(minutes=5))
    if interval != _SECOND:
        found["interval"] = format_duration(interval)
    if timeout and timeout >= timedelta(milliseconds=50):
        found["timeout"] = format_duration(timeout)
    if check.retries and check.retries > 0:
        found["unhealthy_threshold"] = min(check.retries, 10)
    return found


def needed_start(check: Check) -> timedelta:
    """Return how long a container may take until it is healthy."""
    return (check.start_period or timedelta(0)) + (check.interval or timedelta(seconds=30)) * max(check.retries or 3, 1)
