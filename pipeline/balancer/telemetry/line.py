"""A line of HAProxy's access log, by the names of its fields. Half of what stands in it was written by clients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.balancer.haproxy.log_format import FIELDS

# How HAProxy writes that there is nothing to say.
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
# HAProxy encodes what it took from the request line, and nothing else.
_ENCODED = frozenset(name for name, expression in FIELDS.items() if expression.startswith("%H"))
_BYTES = re.compile(r"(?:#[0-9A-F]{2})+")
_TERMINATION = re.compile(r"[-A-Za-z]{4}")
_FRONTEND = re.compile(r"[^.]+\.[^.]+\.\d+")
# "Proxy … stopped", and "ADDRESS [TIME] … SSL handshake failure".
_NOTICE = re.compile(r"[A-Za-z]|\S+ \[[^]]+\] ")
# Where a worker that a reload has replaced passes a request on. Its successor writes a line of it too.
_RELAY = re.compile(r"relay:\d+")


@dataclass(frozen=True, slots=True)
class Line:
    """One request. `numbers` are -1 where it did not come to that; times are milliseconds."""

    fields: Mapping[str, str]
    numbers: Mapping[str, int]

    @classmethod
    def read(cls, raw: bytes) -> Line | None:
        """Read a line; None where it is not about a request of its own. Raises `ValueError` where it makes no sense."""
        text = raw.decode(errors="replace").rstrip("\n")
        if "\t" not in text and _NOTICE.match(text):
            return None
        fields = dict(zip(FIELDS, text.split("\t"), strict=True))
        numbers = {name: -1 if fields[name] == "-" else int(fields[name]) for name in _NUMBERS}
        if not _TERMINATION.fullmatch(fields["termination"]) or not _FRONTEND.fullmatch(fields["listener"]):
            raise ValueError("the fields are not where they belong")
        passed_on = _RELAY.fullmatch(fields["backend"]) and numbers["target_status"] > 0
        return None if passed_on else cls(fields, numbers)

    def text(self, name: str) -> str | None:
        """A field as the client or the target wrote it; None where there is none."""
        value = self.fields[name]
        if value in _ABSENT:
            return None
        return _BYTES.sub(_decoded, value) if name in _ENCODED else value

    @property
    def created(self) -> int:
        """When the first byte of the request came, in milliseconds since 1970."""
        numbers = self.numbers
        accepted = numbers["accepted_seconds"] * 1000 + numbers["accepted_milliseconds"]
        return accepted + max(numbers["handshake"], 0) + max(numbers["idle"], 0)

    @property
    def ended(self) -> int:
        """When it was over."""
        return self.created + max(self.numbers["total"], 0)


def _decoded(run: re.Match[str]) -> str:
    return bytes.fromhex(run[0].replace("#", "")).decode(errors="replace")
