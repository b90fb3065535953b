"""Messages to and from the kernel's netfilter subsystems over a netlink socket."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

REQUEST, ACKNOWLEDGE, DUMP = 0x1, 0x4, 0x300
_NETLINK_NETFILTER = 12
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_HEADER = struct.Struct("=IHHII")
_FAMILY = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR_NUMBER = struct.Struct("=i")
_ERROR, _DONE = 2, 3
# The kernel sends no more than this at a time.
_SIZE = 65536
_TIMEOUT = 10.0
# The upper bits of an attribute's type are flags.
_TYPE = 0x3FFF


class Message(NamedTuple):
    """A message: its subsystem and kind, the protocol family, and its attributes."""

    kind: int
    family: int
    attributes: memoryview


def open_socket(group: int = 0) -> socket.socket:
    """Return a socket to the netfilter subsystems of the thread's network namespace. Raises `OSError`.

    `group`: the number of a group whose reports it receives, without waiting for them.
    """
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    try:
        opened.bind((0, 0))
        opened.settimeout(0 if group else _TIMEOUT)
        if group:
            opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError:
        opened.close()
        raise
    return opened


def request(opened: socket.socket, kind: int, flags: int, attributes: bytes = b"") -> Iterator[Message]:
    """Send a request and yield the responses. Raises `OSError`, also if the kernel refuses it."""
    body = _FAMILY.pack(0, 0, 0) + attributes
    opened.send(_HEADER.pack(_HEADER.size + len(body), kind, REQUEST | flags, 1, 0) + body)
    while True:
        for message in messages(opened.recv(_SIZE)):
            if message.kind == _DONE:
                return
            yield message
            if not flags & DUMP:
                return


def receive(opened: socket.socket) -> list[Message] | None:
    """Return the messages of one packet of reports, or None if there is none. Raises `OSError` if some were lost."""
    try:
        return list(messages(opened.recv(_SIZE)))
    except BlockingIOError:
        return None


def messages(packet: bytes) -> Iterator[Message]:
    """Yield the messages of a packet. Raises `OSError` for an error that the kernel reports.

    An acknowledgement comes as the end of a dump does.
    """
    view, at = memoryview(packet), 0
    while at + _HEADER.size <= len(view):
        length, kind, _, _, _ = _HEADER.unpack_from(view, at)
        start = at + _HEADER.size
        if kind == _ERROR and (number := -_ERROR_NUMBER.unpack_from(view, start)[0]):
            raise OSError(number, os.strerror(number))
        if kind in {_ERROR, _DONE}:
            yield Message(_DONE, 0, view[:0])
        else:
            yield Message(kind, view[start], view[start + _FAMILY.size : at + length])
        at += (max(length, _HEADER.size) + 3) & ~3


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute of a request."""
    head = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind)
    return head + value + bytes(-len(value) % 4)


def attributes(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the attributes of a message, or of another attribute that contains some."""
    at, end = 0, len(data) - _ATTRIBUTE.size
    while at <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind & _TYPE, data[at + _ATTRIBUTE.size : at + length]
        at += (max(length, _ATTRIBUTE.size) + 3) & ~3
