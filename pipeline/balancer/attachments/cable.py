"""Cables: pairs of devices, one end in this machine's namespace and one in another."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from pipeline.balancer.attachments.rtnetlink import Link, RoutingSocket, Veth


class Cable(NamedTuple):
    """A pair of devices as it is wanted. `alias`: the text beside their names."""

    near: Veth
    far: Veth
    alias: str

    def ensure(self, here: RoutingSocket, there: RoutingSocket, namespace: int) -> tuple[Link, Link]:
        """Make the devices unless they exist, and bring them up. Return the near and the far one.

        `namespace` is the descriptor of the far one's namespace, whose socket is `there`.
        """
        near, far = here.link(self.near.name), there.link(self.far.name)
        if near is None or far is None or not self._has(near, far):
            for routing, link in ((here, near), (there, far)):
                remove(routing, link)
            here.add_pair(self.near, self.far, namespace)
        return self._set_up(here, self.near), self._set_up(there, self.far)

    def _has(self, near: Link, far: Link) -> bool:
        """Return whether two devices are the ends, with the addresses that neighbours and the path know."""
        if (near.other, far.other) != (far.number, near.number):
            # One of them is in a namespace that is not the network's any more.
            return False
        return all(
            (link.mac, link.has_arp) == (end.mac, end.has_arp)
            for link, end in zip((near, far), (self.near, self.far), strict=True)
        )

    def _set_up(self, routing: RoutingSocket, wanted: Veth) -> Link:
        link = routing.link(wanted.name)
        if link is None:
            raise OSError(f"device {wanted.name} was removed by another program")
        if link.alias != self.alias:
            routing.set_alias(link.number, self.alias)
        if link.mtu != wanted.mtu:
            routing.set_mtu(link.number, wanted.mtu)
        if not link.is_up:
            routing.silence(link.number)
            routing.set_up(link.number)
        return link


def remove(routing: RoutingSocket, link: Link | None) -> None:
    """Remove a device, and the other end of its cable. Does nothing if it is gone."""
    if link is not None:
        with suppress(ProcessLookupError, FileNotFoundError, OSError):
            routing.remove(link.number)
