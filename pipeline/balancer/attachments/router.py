"""Routers: namespaces that have the gateway addresses of Docker's networks."""

from __future__ import annotations

from ipaddress import ip_interface
from pathlib import Path

from pipeline.balancer.attachments import namespaces
from pipeline.balancer.attachments.cable import Cable
from pipeline.balancer.attachments.fault import Missing
from pipeline.balancer.attachments.record import AttachmentRecord
from pipeline.balancer.attachments.rtnetlink import RoutingSocket, Veth

_INSIDE = "lan"
_SETTINGS = {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    # It is the only router of its network.
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    # Docker gives the gateway address of IPv6 to the bridge itself.
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
}


def ensure_router(record: AttachmentRecord, alias: str) -> None:
    """Make the router of a network of Docker unless it exists. Raises `Missing` without the network's bridge."""
    namespaces.make(record.router)
    with namespaces.routing_in(record.router) as (namespace, there), RoutingSocket() as here:
        bridge = here.link(record.bridge)
        if bridge is None:
            raise Missing(f"bridge {record.bridge} of Docker's network {record.place} does not exist")
        namespaces.within(namespace, lambda: write_settings(_SETTINGS))
        if (own := there.link("lo")) is not None and not own.is_up:
            there.set_up(own.number)
        outside = Veth(record.port, record.mac("port"), record.mtu)
        port, inside = Cable(outside, Veth(_INSIDE, record.mac("lan"), record.mtu), alias).ensure(
            here, there, namespace
        )
        there.add_address(inside.number, ip_interface(record.gateway))
        if port.master != bridge.number:
            here.set_master(port.number, bridge.number)


def write_settings(settings: dict[str, str]) -> None:
    """Write settings of the kernel for the namespace of the thread. One that the kernel does not have is left out."""
    for name, value in settings.items():
        path = Path("/proc/sys/net") / name
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value)
