"""An appliance for tests of the path of packets: it checks what it gets, notes it, and returns it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import NamedTuple

from pipeline.balancer.gateway.geneve import GENEVE_PORT, Encapsulated
from tests.support.namespace import Namespace

_SIZE, _BUFFER = 65536, 1 << 22
_BUFFER_FORCE = 33
_TCP, _UDP, _ICMP = 6, 17, 1


class Seen(NamedTuple):
    """An inner packet. `source` and `target` are packed addresses, `ports` those of the payload's first four bytes."""

    wrapped: Encapsulated
    source: bytes
    target: bytes
    protocol: int
    payload: bytes
    outer_port: int

    @property
    def size(self) -> int:
        """The bytes of the inner packet."""
        return len(self.wrapped.packet)


class PathAppliance:
    """An appliance in a namespace. `change` gets each payload, and returns what is sent back, or None.

    `seen` has the inner packets, and `faults` what was wrong with them.
    """

    def __init__(self, place: Namespace, address: str) -> None:
        self.address = address
        self.seen = list[Seen]()
        self.faults = list[str]()
        self.change: Callable[[bytes], bytes | None] = lambda payload: payload
        with place.entered():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, _BUFFER_FORCE, _BUFFER)
        self._socket.bind((address, GENEVE_PORT))
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def send(self, payload: bytes, host: str) -> None:
        """Send a payload to a host, as if it came back."""
        self._socket.sendto(payload, (host, GENEVE_PORT))

    def cookies(self) -> set[int]:
        """Return the cookies of all packets."""
        return {each.wrapped.cookie for each in self.seen}

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            payload, sender = self._socket.recvfrom(_SIZE)
            if not payload:
                return
            host, port = sender
            try:
                self.seen.append(_read(Encapsulated.decoded(payload), port))
            except ValueError as error:
                self.faults.append(str(error))
            if (returned := self.change(payload)) is not None:
                self._socket.sendto(returned, (host, GENEVE_PORT))


def _read(wrapped: Encapsulated, outer_port: int) -> Seen:
    """Parse a packet. Raises `ValueError` if a length or a checksum is wrong."""
    packet = wrapped.packet
    if packet[0] >> 4 == 4:
        head = (packet[0] & 15) * 4
        _check(_sum(packet[:head]) == 0, "the checksum of IPv4")
        _check(int.from_bytes(packet[2:4]) == len(packet), "the length of IPv4")
        source, target, protocol, payload = packet[12:16], packet[16:20], packet[9], packet[head:]
        is_fragment = bool(int.from_bytes(packet[6:8]) & 0x3FFF)
    else:
        _check(int.from_bytes(packet[4:6]) + 40 == len(packet), "the length of IPv6")
        source, target, protocol, payload = packet[8:24], packet[24:40], packet[6], packet[40:]
        is_fragment = protocol == 44
    if not is_fragment:
        pseudo = source + target + struct.pack("!II", len(payload), protocol)
        _check(_sum(payload if protocol == _ICMP else pseudo + payload) == 0, f"the checksum of protocol {protocol}")
    return Seen(wrapped, source, target, protocol, payload, outer_port)


def _check(is_right: bool, what: str) -> None:
    if not is_right:
        raise ValueError(f"{what} is wrong")


def _sum(data: bytes) -> int:
    """Return the checksum of the internet, which is 0 if the data has a right one."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
