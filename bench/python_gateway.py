"""A gateway in plain Python, as a base line: `python -m bench.python_gateway APPLIANCE HOST`.

It reads packets from a TUN device, gives each flow a cookie, sends it to the appliance in GENEVE, and writes what comes
back to the device. One packet per system call, a table lookup per packet, no check of what is malformed: less work than
a real one has.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import sys

from pipeline.balancer.gateway.geneve import GENEVE_PORT

DEVICE = "pygateway"
_SET_INTERFACE, _NO_HEADER_TUN = 0x400454CA, 0x1001
_HEADER = bytes.fromhex("0800080000000000 0108010211223344556677880108020200000000000000a101080301")
_SIZE, _BATCH, _BUFFER = 65536, 64, 1 << 25
_BUFFER_FORCE, _SEND_BUFFER_FORCE = 33, 32


def main() -> None:
    """Forward packets until the process is killed."""
    appliance, host = (sys.argv[1], GENEVE_PORT), sys.argv[2]
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _SET_INTERFACE, struct.pack("16sH22x", DEVICE.encode(), _NO_HEADER_TUN))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind((host, GENEVE_PORT))
        opened.setblocking(False)
        for option in (_BUFFER_FORCE, _SEND_BUFFER_FORCE):
            opened.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        print("ready", flush=True)
        _forward(tun, opened, appliance)


def _forward(tun: int, opened: socket.socket, appliance: tuple[str, int]) -> None:
    headers = dict[bytes, bytes]()
    poller = select.epoll()
    poller.register(tun, select.EPOLLIN)
    poller.register(opened, select.EPOLLIN)
    while True:
        for descriptor, _ in poller.poll():
            try:
                for _ in range(_BATCH):
                    if descriptor == tun:
                        packet = os.read(tun, _SIZE)
                        opened.sendto(_header(headers, packet) + packet, appliance)
                    else:
                        payload, sender = opened.recvfrom(_SIZE)
                        if sender[0] == appliance[0] and payload[:40] == _header(headers, payload[40:]):
                            os.write(tun, payload[40:])
            except BlockingIOError:
                pass


def _header(headers: dict[bytes, bytes], packet: bytes) -> bytes:
    """Return the header of the packet's flow, which is that of both directions."""
    start = (packet[0] & 15) * 4
    key = packet[9:10] + packet[12:20] + packet[start : start + 4]
    if (header := headers.get(key)) is None:
        header = headers[key] = _HEADER + os.urandom(4)
        headers[key[:1] + key[5:9] + key[1:5] + key[11:13] + key[9:11]] = header
    return header


if __name__ == "__main__":
    main()
