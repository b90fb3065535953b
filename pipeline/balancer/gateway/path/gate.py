"""The gate: a pair of network devices through which all packets to and from appliances go.

Only when a packet leaves a device does the kernel cut a large one into those that the link carries, with their
checksums. So wrapped packets leave by device 0 and arrive at device 1, and returned ones go the other way.
"""

from __future__ import annotations

import os

from pipeline.balancer.attachments.cable import Cable, remove
from pipeline.balancer.attachments.rtnetlink import RoutingSocket, Veth
from pipeline.balancer.gateway.path.interface import leave_nothing_to_hardware

# More than the largest packet in GENEVE.
_MTU = 9000
_OWN = "/proc/thread-self/ns/net"


class Gate:
    """The gate of a home, in the network namespace in which the thread is. Its methods raise `OSError`."""

    def __init__(self, home: str) -> None:
        # Names of devices have at most 15 characters.
        self._names = f"gate0-{home[:9]}", f"gate1-{home[:9]}"
        self._alias = f"Penstock {home}"

    def ensure(self) -> tuple[int, int]:
        """Make the devices unless they exist, and return their numbers."""
        near, far = (Veth(name, b"\x02gate" + name[4:5].encode(), _MTU, has_arp=False) for name in self._names)
        namespace = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with RoutingSocket() as routing:
                links = Cable(near, far, self._alias).ensure(routing, routing, namespace)
        finally:
            os.close(namespace)
        for name in self._names:
            leave_nothing_to_hardware(name)
        return links[0].number, links[1].number

    def numbers(self) -> list[int]:
        """Return the numbers of the devices that exist."""
        with RoutingSocket() as routing:
            return [link.number for link in routing.links() if link.name in self._names]

    def remove(self) -> None:
        """Remove the devices. Does nothing if there are none."""
        with RoutingSocket() as routing:
            remove(routing, routing.link(self._names[0]))
            remove(routing, routing.link(self._names[1]))
