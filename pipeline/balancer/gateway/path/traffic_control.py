"""Programs at the ingress of network devices, by the kernel's traffic control."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from pipeline.balancer.kernel.netlink import ACKNOWLEDGE, DUMP, REQUEST, attribute, attributes

_HEADER, _BODY = struct.Struct("=IHHII"), struct.Struct("=BxxxiIII")
_NUMBER, _SIGNED = struct.Struct("=I"), struct.Struct("=i")
_NEW_QDISC, _DELETE_QDISC, _GET_QDISC = 36, 37, 38
_NEW_FILTER, _DELETE_FILTER, _GET_FILTER = 44, 45, 46
_CREATE, _EXCLUSIVE, _REPLACE = 0x400, 0x200, 0x100
_CLSACT_HANDLE, _CLSACT, _INGRESS, _EGRESS = 0xFFFF0000, 0xFFFFFFF1, 0xFFFFFFF2, 0xFFFFFFF3
_KIND, _OPTIONS = 1, 2
_PROGRAM, _NAME, _FLAGS, _ID = 6, 7, 8, 11
_DIRECT_ACTION = 1
_ALL_PROTOCOLS = 0x0300
_PRIORITY = 6081
_INFO = _PRIORITY << 16 | _ALL_PROTOCOLS
_ERROR, _DONE = 2, 3
_SIZE, _TIMEOUT = 1 << 18, 10.0
# At the end of the name of a filter whose clsact we made, so that it goes with the filter.
_MADE = "+clsact"


class Filter(NamedTuple):
    """A filter at the ingress of a device. `program`: the number of its program, or 0 if it has none."""

    handle: int
    priority: int
    name: str
    program: int

    def is_of(self, handle: int) -> bool:
        """Return whether a handle of ours names it."""
        return (self.handle, self.priority) == (handle, _PRIORITY)


class TrafficControl:
    """The filters of the network namespace in which the thread is when it is made. All methods raise `OSError`.

    `handle` tells our filters from those of other homes, which have the same priority.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.settimeout(_TIMEOUT)
        self._socket.bind((0, 0))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def attached(self, ifindex: int) -> Filter | None:
        """Return our filter of a device, or None."""
        return next((each for each in self._filters(ifindex, _INGRESS) if each.is_of(self._handle)), None)

    def has_others(self, ifindex: int) -> bool:
        """Return whether another home has a filter at a device too."""
        found = self._filters(ifindex, _INGRESS)
        return any(each.priority == _PRIORITY and each.handle != self._handle for each in found)

    def attach(self, ifindex: int, program: int, name: str) -> None:
        """Run a program at the ingress of a device. It replaces the former one without a gap."""
        former = self.attached(ifindex)
        made = self._make_clsact(ifindex) or (former is not None and former.name.endswith(_MADE))
        options = attribute(_PROGRAM, _NUMBER.pack(program)) + attribute(_FLAGS, _NUMBER.pack(_DIRECT_ACTION))
        options += attribute(_NAME, (name + _MADE * made).encode() + b"\0")
        body = attribute(_KIND, b"bpf\0") + attribute(_OPTIONS, options)
        self._change(_NEW_FILTER, _CREATE | _REPLACE, _head(ifindex, self._handle, _INGRESS, _INFO) + body)

    def detach(self, ifindex: int) -> None:
        """Remove our filter from a device, and the clsact if we made it and nobody else uses it."""
        if (former := self.attached(ifindex)) is None:
            return
        head = _head(ifindex, self._handle, _INGRESS, _INFO)
        self._change(_DELETE_FILTER, 0, head + attribute(_KIND, b"bpf\0"))
        is_free = not any(True for side in (_INGRESS, _EGRESS) for _ in self._filters(ifindex, side))
        if former.name.endswith(_MADE) and is_free:
            self._change(_DELETE_QDISC, 0, _head(ifindex, _CLSACT_HANDLE, _CLSACT) + attribute(_KIND, b"clsact\0"))

    def _make_clsact(self, ifindex: int) -> bool:
        head = _head(ifindex, _CLSACT_HANDLE, _CLSACT)
        with suppress(FileExistsError):
            self._change(_NEW_QDISC, _CREATE | _EXCLUSIVE, head + attribute(_KIND, b"clsact\0"))
            return True
        return False

    def _filters(self, ifindex: int, side: int) -> Iterator[Filter]:
        """Yield the filters of a device. None if it has no clsact, or is gone."""
        bodies = list[memoryview]()
        with suppress(OSError):
            bodies = list(self._request(_GET_FILTER, DUMP, _head(ifindex, 0, side)))
        for body in bodies:
            _, _, handle, _, info = _BODY.unpack_from(body)
            outer = dict(attributes(body[_BODY.size :]))
            inner = {kind: bytes(value) for kind, value in attributes(outer.get(_OPTIONS, memoryview(b"")))}
            # A line without a handle stands for all filters of a priority.
            if handle:
                name = inner.get(_NAME, b"").rstrip(b"\0").decode(errors="replace")
                yield Filter(handle, info >> 16, name, _NUMBER.unpack(inner.get(_ID, bytes(4)))[0])

    def _change(self, kind: int, flags: int, body: bytes) -> None:
        for _ in self._request(kind, flags | ACKNOWLEDGE, body):
            pass

    def _request(self, kind: int, flags: int, body: bytes) -> Iterator[memoryview]:
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, REQUEST | flags, 1, 0) + body)
        while True:
            packet, at = memoryview(self._socket.recv(_SIZE)), 0
            while at + _HEADER.size <= len(packet):
                length, kind, _, _, _ = _HEADER.unpack_from(packet, at)
                content = packet[at + _HEADER.size : at + length]
                if kind == _ERROR and (number := -_SIGNED.unpack_from(content)[0]):
                    raise OSError(number, os.strerror(number))
                if kind in {_ERROR, _DONE}:
                    return
                yield content
                at += (max(length, _HEADER.size) + 3) & ~3


def _head(ifindex: int, handle: int, parent: int, info: int = 0) -> bytes:
    return _BODY.pack(socket.AF_UNSPEC, ifindex, handle, parent, info)
