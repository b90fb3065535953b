"""A small firewall behind a gateway load balancer. It drops packets that contain one bad text, and returns all others.

Written from public descriptions alone, and with nothing of Penstock:

- AWS's blog "Integrate your custom logic or appliance with AWS Gateway Load Balancer", on networking:
  an appliance supports GENEVE and the metadata of the load balancer, which are three options of class 0x0108. Type 1 is
  the id of the endpoint (64 bits), type 2 that of the attachment (64 bits), type 3 the cookie of the flow (32 bits). A
  packet is returned with the same header and options, and with the outer addresses swapped.
- "Gateway Load Balancers" in the guide of Elastic Load Balancing: UDP port 6081, all IP packets on all ports, and an
  outer header of IPv4 for inner packets of IPv4 and of IPv6.
- RFC 8926: the header of GENEVE and its options.

Needs the capability NET_RAW, because a returned packet keeps its UDP source port, which is that of the load balancer.
With NET_ADMIN, it also gets a larger receive buffer. Environment:

- BAD_TEXT: packets that contain it are dropped. Default: attack
- HEALTH_PORT: port for health checks by HTTP, default 80. /flows has the counts of packets as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

GENEVE_PORT = 6081
AWS_CLASS = 0x0108
# The length of each option of AWS, by its type.
OPTIONS = {1: 8, 2: 8, 3: 4}
IPV4, IPV6 = 0x0800, 0x86DD
UDP_HEADER, GENEVE_HEADER, OPTION_HEADER = 8, 8, 4
TCP, UDP = 6, 17
BUFFER = 32 << 20
# More flows than this are counted, but not one by one.
MAX_FLOWS = 200_000


class Malformed(Exception):
    """A packet that no gateway load balancer sends."""


def read_options(header: bytes) -> dict[int, bytes]:
    """Return the values of AWS's options by their type, from the header of GENEVE with its options.

    Raises `Malformed` if one is missing or has another length, and for a critical option of another class.
    """
    found, at = {}, GENEVE_HEADER
    while at < len(header):
        if at + OPTION_HEADER > len(header):
            raise Malformed("an option is cut off")
        kind_class, kind, length = struct.unpack_from("!HBB", header, at)
        value = header[at + OPTION_HEADER : at + OPTION_HEADER + (length & 0x1F) * 4]
        at += OPTION_HEADER + (length & 0x1F) * 4
        if kind_class == AWS_CLASS:
            found[kind] = value
        elif kind & 0x80:
            raise Malformed("a critical option is unknown")
    if {kind: len(found.get(kind, b"")) for kind in OPTIONS} != OPTIONS or at != len(header):
        raise Malformed("the options are not those of AWS")
    return found


def read_flow(packet: bytes) -> tuple[int, bytes, bytes, bytes]:
    """Return protocol, source, destination and both ports of an inner packet. Without ports, they are empty."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        protocol, start = packet[9], (packet[0] & 0x0F) * 4
        source, destination = packet[12:16], packet[16:20]
        is_first = not int.from_bytes(packet[6:8], "big") & 0x1FFF
    elif version == 6 and len(packet) >= 40:
        protocol, start, source, destination, is_first = packet[6], 40, packet[8:24], packet[24:40], True
    else:
        raise Malformed("the inner packet is neither IPv4 nor IPv6")
    ports = packet[start : start + 4] if protocol in (TCP, UDP) and is_first else b""
    return protocol, source, destination, ports if len(ports) == 4 else b""


class Appliance:
    """Answers one packet at a time, and counts what it did."""

    def __init__(self, bad_text: bytes) -> None:
        self._bad_text = bad_text
        self._flows: Counter[tuple[Any, ...]] = Counter()
        self._cookies: dict[tuple[Any, ...], set[bytes]] = {}
        self.counts: Counter[str] = Counter()

    def answer(self, packet: bytes) -> tuple[bytes, str] | None:
        """Return the packet to send for one that came, and where to. Both have their IPv4 header. None: drop it.

        The outer addresses are swapped, and the UDP checksum is 0, which is none. Everything else is as it came.
        """
        start = (packet[0] & 0x0F) * 4
        geneve = start + UDP_HEADER
        if len(packet) < geneve + GENEVE_HEADER or packet[start + 2 : start + 4] != GENEVE_PORT.to_bytes(2, "big"):
            return None
        self.counts["received"] += 1
        try:
            inner = self._count(packet[geneve:])
        except Malformed:
            self.counts["malformed"] += 1
            return None
        if self._bad_text in inner:
            self.counts["dropped"] += 1
            return None
        self.counts["returned"] += 1
        swapped = packet[:12] + packet[16:20] + packet[12:16] + packet[20 : start + 6] + b"\0\0" + packet[geneve:]
        return swapped, socket.inet_ntoa(packet[12:16])

    def _count(self, geneve: bytes) -> bytes:
        """Count a packet for its flow, and return the inner packet."""
        protocol_type = int.from_bytes(geneve[2:4], "big")
        length = GENEVE_HEADER + (geneve[0] & 0x3F) * 4
        if geneve[0] >> 6 or protocol_type not in (IPV4, IPV6):
            raise Malformed("the version or the type of the inner packet is unknown")
        options, inner = read_options(geneve[:length]), geneve[length:]
        flow = (options[1], *read_flow(inner))
        if flow in self._flows or len(self._flows) < MAX_FLOWS:
            self._flows[flow] += 1
            self._cookies.setdefault(flow, set()).add(options[3])
        return inner

    def described(self) -> dict[str, Any]:
        """Return the counts, and one row for each direction of each flow."""
        rows = []
        for flow, packets in list(self._flows.items()):
            endpoint, protocol, source, destination, ports = flow
            row: dict[str, Any] = {"endpoint": endpoint.hex(), "protocol": protocol, "packets": packets}
            row |= {"source": str(ip_address(source)), "destination": str(ip_address(destination))}
            row["ports"] = struct.unpack("!HH", ports) if ports else None
            row["cookies"] = sorted(each.hex() for each in tuple(self._cookies[flow]))
            rows.append(row)
        return {"counts": dict(self.counts), "flows": rows}


def serve_health(appliance: Appliance, port: int) -> None:
    """Answer health checks, and requests for the counts, in another thread."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(appliance.described()) if self.path == "/flows" else "healthy\n"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            """Write no line for each health check."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Write nothing: a health check may close its connection as soon as it has the status."""

    server = Server(("", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def forward(appliance: Appliance) -> None:
    """Answer packets until the process is stopped."""
    # Keeps the kernel from answering with ICMP "port unreachable". Nobody reads it.
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    holder.bind(("", GENEVE_PORT))
    # Receives a copy of each UDP packet with its IPv4 header, and sends packets that have one.
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
    try:
        raw.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), BUFFER)
    except PermissionError:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    while True:
        answer = appliance.answer(raw.recv(65535))
        if answer is not None:
            try:
                raw.sendto(answer[0], (answer[1], 0))
            except OSError:
                appliance.counts["unsent"] += 1


def main() -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    appliance = Appliance(os.environ.get("BAD_TEXT", "attack").encode())
    serve_health(appliance, int(os.environ.get("HEALTH_PORT", "80")))
    forward(appliance)


if __name__ == "__main__":
    main()
