"""Packets of a gateway load balancer: made by hand, and decoded by two independent programs.

Everything here is from AWS's public description and RFC 8926, not from Penstock's own encoder.
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from tests.support.waiting import COMMAND_TIMEOUT

PORT = 6081
AWS_CLASS = 0x0108
ENDPOINT, ATTACHMENT, COOKIE = 1, 2, 3
"""The types of AWS's options. The first two have 8 bytes, the third has 4."""
IPV4, IPV6 = 0x0800, 0x86DD
_MISTAKES = ("geneve.option.length.invalid", "geneve.version.unknown", "_ws.malformed")
_FIELDS = (
    *("ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "udp.srcport", "udp.dstport", "geneve.version", "geneve.proto_type"),
    *("geneve.vni", "geneve.option.class", "geneve.option.type", "geneve.option.length", "geneve.option.unknown.data"),
    *("geneve.flags.oam", "geneve.flags.critical"),
    *_MISTAKES,
)


@dataclass(frozen=True)
class GenevePacket:
    """What a program has read in a packet. `options` have class, type and value. `inner` has source and destination."""

    outer: tuple[str, str]
    source_port: int
    port: int
    version: int
    protocol_type: int
    vni: int
    flags: tuple[bool, bool]
    options: tuple[tuple[int, int, str], ...]
    inner: tuple[str, str]

    def option(self, kind: int) -> str:
        """Return the value of AWS's option of a type, in hexadecimal."""
        (value,) = (value for kind_class, found, value in self.options if (kind_class, found) == (AWS_CLASS, kind))
        return value


def aws_packet(
    inner: bytes,
    *,
    outer: tuple[str, str] = ("10.81.0.1", "10.81.0.11"),
    source_port: int = 50000,
    endpoint: int = 0x0123456789ABCDEF,
    attachment: int = 0xFEDCBA9876543210,
    cookie: int = 0xC0FFEE01,
) -> bytes:
    """Return an inner packet as a gateway load balancer sends it, with its outer IPv4 header. It is 68 bytes longer."""
    options = struct.pack("!HBBQ", AWS_CLASS, ENDPOINT, 2, endpoint)
    options += struct.pack("!HBBQ", AWS_CLASS, ATTACHMENT, 2, attachment)
    options += struct.pack("!HBBI", AWS_CLASS, COOKIE, 1, cookie)
    protocol_type = IPV6 if inner[0] >> 4 == 6 else IPV4
    geneve = struct.pack("!BBHI", len(options) // 4, 0, protocol_type, 0) + options + inner
    udp = struct.pack("!HHHH", source_port, PORT, 8 + len(geneve), 0) + geneve
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, socket.IPPROTO_UDP, 0)
    header += b"".join(socket.inet_aton(each) for each in outer)
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + udp


def checksum(data: bytes) -> int:
    """Return the internet checksum (RFC 1071) of a header whose own checksum is 0."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def decoded_by_scapy(capture: Path) -> list[GenevePacket]:
    """Return the packets to UDP 6081 of a capture, as scapy reads them."""
    from scapy.contrib.geneve import GENEVE
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.utils import rdpcap

    found = []
    for frame in rdpcap(str(capture)):
        if UDP not in frame or frame[UDP].dport != PORT:
            continue
        outer, geneve = frame[IP], frame[GENEVE]
        inner = geneve.payload[IPv6 if geneve.proto == IPV6 else IP]
        found.append(
            GenevePacket(
                (outer.src, outer.dst),
                frame[UDP].sport,
                frame[UDP].dport,
                geneve.version,
                geneve.proto,
                geneve.vni,
                (bool(geneve.oam), bool(geneve.critical)),
                tuple((each.classid, each.type, each.data.hex()) for each in geneve.options),
                (str(ip_address(inner.src)), str(ip_address(inner.dst))),
            )
        )
    return found


def tshark_obstacle() -> str:
    """Return what keeps this machine from decoding by tshark, or an empty text."""
    return "" if shutil.which("tshark") else "tshark is not installed: apt-get install tshark"


def decoded_by_tshark(capture: Path) -> list[GenevePacket]:
    """Return the packets to UDP 6081 of a capture, as tshark reads them. It reports no mistake in any of them."""
    fields = [part for name in _FIELDS for part in ("-e", name)]
    # Checks of TCP's course are about the traffic, and not about the form of a packet.
    command = [
        "tshark",
        "-n",
        "-o",
        "tcp.analyze_sequence_numbers:FALSE",
        "-r",
        str(capture),
        "-Y",
        f"udp.dstport=={PORT}",
    ]
    done = subprocess.run(
        [*command, "-T", "fields", *fields], capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT
    )
    return [_row(line.split("\t")) for line in done.stdout.splitlines()]


def _row(values: list[str]) -> GenevePacket:
    """Return a packet from the fields of tshark, which has those of the outer and the inner packet in one list."""
    row = {name: value.split(",") if value else [] for name, value in zip(_FIELDS, values, strict=True)}
    assert not any(row[name] for name in _MISTAKES), row
    is_ipv6 = int(row["geneve.proto_type"][0], 16) == IPV6
    sources, destinations = (row["ipv6.src"], row["ipv6.dst"]) if is_ipv6 else (row["ip.src"][1:], row["ip.dst"][1:])
    options = zip(row["geneve.option.class"], row["geneve.option.type"], row["geneve.option.unknown.data"], strict=True)
    return GenevePacket(
        (row["ip.src"][0], row["ip.dst"][0]),
        int(row["udp.srcport"][0]),
        int(row["udp.dstport"][0]),
        int(row["geneve.version"][0]),
        int(row["geneve.proto_type"][0], 16),
        int(row["geneve.vni"][0], 16),
        (row["geneve.flags.oam"][0] == "1", row["geneve.flags.critical"][0] == "1"),
        tuple((int(kind_class, 16), int(kind, 16), value) for kind_class, kind, value in options),
        (str(ip_address(sources[0])), str(ip_address(destinations[0]))),
    )
