"""A line of HAProxy's access log, parsed into named fields. Clients control half of its content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.balancer.haproxy.log_format import FIELDS, FORMER_FIELDS, REQUEST_HEADERS, REQUEST_LINE

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
_INVALID_REQUEST = "<BADREQ>"
_VERSION = re.compile(r"HTTP/\d\.\d")
# HAProxy encodes the request line and the captured headers, and nothing else.
_ENCODED = frozenset(REQUEST_LINE)
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
        fields = _fields(text.split("\t"))
        numbers = {name: -1 if fields[name] == "-" else int(fields[name]) for name in _NUMBERS}
        if not _TERMINATION.fullmatch(fields["termination"]) or not _FRONTEND.fullmatch(fields["listener"]):
            raise ValueError("the fields are not in their places")
        passed_on = is_relay(fields["backend"]) and numbers["target_status"] > 0
        return None if passed_on else cls(fields, numbers)

    def text(self, name: str) -> str | None:
        """Return a field as the client or the target sent it, or None if it is missing."""
        value = self.fields[name]
        if value in _ABSENT:
            return None
        return _BYTES.sub(_decoded, value) if name in _ENCODED else value

    @property
    def port(self) -> int:
        """The port of the listener."""
        return int(self.fields["listener"].rpartition(".")[2])

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


def is_relay(backend: str) -> bool:
    """Return whether a backend passes requests of a replaced worker to its successor."""
    return _RELAY.fullmatch(backend) is not None


def datetime_from_milliseconds(milliseconds: int) -> datetime:
    """Return the nearest time that can be represented. A damaged line may hold any number."""
    return datetime.fromtimestamp(min(max(milliseconds, 0), _LATEST) / 1000, UTC)


def _fields(values: list[str]) -> dict[str, str]:
    """Return the fields by name. Raises `ValueError` if there are too many or too few."""
    if len(values) == len(FORMER_FIELDS):
        return dict(zip(FORMER_FIELDS, values, strict=True))
    fields = dict(zip(FIELDS, values, strict=True))
    fields.update(zip(REQUEST_LINE, _request_line(fields["request_line"]), strict=True))
    fields.update(zip(REQUEST_HEADERS, _request_headers(fields["request_headers"]), strict=True))
    return fields


def _request_line(line: str) -> tuple[str, str, str]:
    """Return method, URI and version. HAProxy cuts a long line, which then has no version."""
    if line == _INVALID_REQUEST:
        return line, line, line
    method, _, rest = line.partition(" ")
    uri, _, version = rest.rpartition(" ")
    if _VERSION.fullmatch(version):
        return method, uri, version
    is_cut_version = uri and "HTTP/".startswith(version[:5])
    return method, uri if is_cut_version else rest, ""


def _request_headers(captured: str) -> list[str]:
    """Return the headers, each until its first tab, which may be encoded. They are missing in an invalid request."""
    if not captured.startswith("{"):
        return ["-"] * len(REQUEST_HEADERS)
    values = captured.removeprefix("{").removesuffix("}").split("|")
    return [_BYTES.sub(_decoded, value).partition("\t")[0] for value in values]


def _decoded(run: re.Match[str]) -> str:
    return bytes.fromhex(run[0].replace("#", "")).decode(errors="replace")
