"""One flow for a measurement: `python -m bench.gateway_load (send|receive) (tcp|udp) ADDRESS SECONDS`.

Prints the bytes of TCP, or the number of datagrams of UDP, that were sent or received.
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress

PORT = 7000
_PIECE = bytes(1 << 20)
# Datagrams with 18 bytes, so frames with the least size of Ethernet. The kernel makes this many from each call.
_DATAGRAM, _AT_ONCE = 18, 64
_UDP, _SEGMENT, _BUFFER_FORCE = 17, 103, 33
_LAST = b"end"


def main() -> None:
    """Send or receive as the command line says."""
    side, protocol, address, seconds = sys.argv[1:]
    action = {("send", "tcp"): _send, ("receive", "tcp"): _receive, ("send", "udp"): _flood, ("receive", "udp"): _count}
    print(action[side, protocol](address, float(seconds)), flush=True)


def _send(address: str, seconds: float) -> int:
    end, sent = time.monotonic() + seconds, 0
    with socket.create_connection((address, PORT)) as opened:
        while time.monotonic() < end:
            opened.sendall(_PIECE)
            sent += len(_PIECE)
    return sent


def _receive(address: str, _seconds: float) -> int:
    received, buffer = 0, bytearray(len(_PIECE))
    with socket.create_server((address, PORT)) as listening:
        print("ready", flush=True)
        opened, _ = listening.accept()
        with opened:
            while size := opened.recv_into(buffer):
                received += size
    return received


def _flood(address: str, seconds: float) -> int:
    end, sent = time.monotonic() + seconds, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(_UDP, _SEGMENT, _DATAGRAM)
        opened.connect((address, PORT))
        many = bytes(_DATAGRAM * _AT_ONCE)
        while time.monotonic() < end:
            opened.send(many)
            sent += _AT_ONCE
        opened.setsockopt(_UDP, _SEGMENT, 0)
        # More than one, because the queue may be full. The receiver ends with the first.
        with suppress(ConnectionRefusedError):
            for _ in range(500):
                time.sleep(0.01)
                opened.send(_LAST)
    return sent


def _count(address: str, _seconds: float) -> int:
    received = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, _BUFFER_FORCE, 1 << 24)
        opened.bind((address, PORT))
        print("ready", flush=True)
        while (data := opened.recv(64)) != _LAST:
            received += bool(data)
    return received


if __name__ == "__main__":
    main()
