"""What the path needs to know and to set of one network device."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from pathlib import Path
from typing import NamedTuple

_GET_MTU, _GET_ADDRESS, _ETHTOOL = 0x8921, 0x8927, 0x8946
_SET_TX_CHECKSUMS = 0x17
_ETHERNET = 1
_SETTINGS = Path("/proc/sys/net")
_REQUEST = struct.Struct("=16s24x")


class Interface(NamedTuple):
    """A network device. `mac` is empty unless it is one of Ethernet."""

    name: str
    mtu: int
    mac: bytes

    @classmethod
    def of(cls, ifindex: int) -> Interface:
        """Return a device of the thread's network namespace. Raises `OSError` if there is none."""
        name = socket.if_indextoname(ifindex)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            (mtu,) = struct.unpack_from("=i", _ask(opened, _GET_MTU, name), 16)
            kind, mac = struct.unpack_from("=H6s", _ask(opened, _GET_ADDRESS, name), 16)
        return cls(name, mtu, mac if kind == _ETHERNET else b"")


def leave_nothing_to_hardware(name: str) -> None:
    """Have the kernel segment packets and compute their checksums before they leave a device. Raises `OSError`."""
    value = array.array("I", [_SET_TX_CHECKSUMS, 0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        fcntl.ioctl(opened, _ETHTOOL, struct.pack("=16sQ16x", name.encode(), value.buffer_info()[0]))


def forward_nothing(name: str) -> None:
    """Keep this machine from forwarding what arrives at a device, while no program takes it. Raises `OSError`.

    Otherwise packets of a network would pass the appliances by when the path is removed.
    """
    for family in ("ipv4", "ipv6"):
        setting = _SETTINGS / family / "conf" / name / "forwarding"
        # The kernel may have no IPv6.
        if setting.exists() and setting.read_text().strip() != "0":
            setting.write_text("0")


def _ask(opened: socket.socket, what: int, name: str) -> bytes:
    return fcntl.ioctl(opened, what, _REQUEST.pack(name.encode()))
