"""A line of HAProxy's access log, parsed into named fields. Clients control half of its content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.balancer.haproxy.log_format import FIELDS

# HAProxy's texts for a missing value.
_ABSENT = frozenset({"", "-", "-:-", "<NOSRV>", "<BADREQ>"})
_NUMBERS = (
    "accepted_seconds",
    "accepted_milliseconds",
    "handshake",
    "idle",
    "request",
    "queue",
    "connect",
    "response",
    "transfer",
    "total",
    "status",
    "target_status",
    "received_bytes",
    "sent_bytes",
    "rule",
    "retries",
)
# HAProxy encodes the parts of the request line, and nothing else.
_ENCODED = frozenset(name for name, expression in FIELDS.items() if expression.startswith("%H"))
_BYTES = re.compile(r"(?:#[0-9A-F]{2})+")
_TERMINATION = re.compile(r"[-A-Za-z]{4}")
_FRONTEND = re.compile(r"[^.]+\.[^.]+\.\d+")
# "Proxy … stopped", and "ADDRESS [TIME] … SSL handshake failure".
_NOTICE = re.compile(r"[A-Za-z]|\S+ \[[^]]+\] ")
# The last day of the year 9999, in milliseconds.
_LATEST = 253_402_214_400_000
# The backend by which a replaced worker passes a request to its successor, which logs the request too.
_RELAY = re.compile(r"relay:\d+")


@dataclass(frozen=True, slots=True)
class AccessLogLine:
    """One request. Times are milliseconds. A number is -1 if that step was not reached."""

    fields: Mapping[str, str]
    numbers: Mapping[str, int]

    @classmethod
    def read(cls, raw: bytes) -> AccessLogLine | None:
        """Parse a line. Returns None for a notice or a passed-on request. Raises `ValueError` for a damaged line."""
        text = raw.decode(errors="replace").rstrip("\n")
        if "\t" not in text and _NOTICE.match(text):
            return None
        fields = dict(zip(FIELDS, text.split("\t"), strict=True))
        numbers = {name: -1 if fields[name] == "-" else int(fields[name]) for name in _NUMBERS}
        if not _TERMINATION.fullmatch(fields["termination"]) or not _FRONTEND.fullmatch(fields["listener"]):
            raise ValueError("the fields are not in their places")
        passed_on = _RELAY.fullmatch(fields["backend"]) and numbers["target_status"] > 0
        return None if passed_on else cls(fields, numbers)

    def text(self, name: str) -> str | None:
        """Return a field as the client or the target sent it, or None if it is missing."""
        value = self.fields[name]
        if value in _ABSENT:
            return None
        return _BYTES.sub(_decoded, value) if name in _ENCODED else value

    @property
    def created(self) -> int:
        """The arrival of the request's first byte, in milliseconds since 1970."""
        numbers = self.numbers
        accepted = numbers["accepted_seconds"] * 1000 + numbers["accepted_milliseconds"]
        return accepted + max(numbers["handshake"], 0) + max(numbers["idle"], 0)

    @property
    def ended(self) -> int:
        """The end of the response, in milliseconds since 1970."""
        return self.created + max(self.numbers["total"], 0)


def datetime_from_milliseconds(milliseconds: int) -> datetime:
    """Return the nearest time that can be represented. A damaged line may hold any number."""
    return datetime.fromtimestamp(min(max(milliseconds, 0), _LATEST) / 1000, UTC)


def _decoded(run: re.Match[str]) -> str:
    return bytes.fromhex(run[0].replace("#", "")).decode(errors="replace")
