"""What the kernel can carry of a network load balancer, and what only the kernel can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from pipeline.balancer.model.network.target_group import NetworkTargetGroup
from pipeline.balancer.model.protocol import transports

Mistake = tuple[str, str]
"""A reason, and what to write instead."""


def is_near(bind_address: str) -> bool:
    """Return whether an address of a listener is loopback or link-local, where the kernel translates nothing."""
    bare = bind_address.strip("[]")
    return bare != "*" and (ip_address(bare).is_loopback or ip_address(bare).is_link_local)


def kernel_obstacle(
    protocol: str | None, bind_addresses: Iterable[str], group: NetworkTargetGroup, name: str
) -> Mistake | None:
    """Return why the kernel cannot carry a listener's connections to a target group, or None if it can.

    `protocol`, `bind_addresses`: those of the listener. `name`: that of the group.
    """
    if protocol == "TLS" or group.protocol == "TLS":
        return "the kernel does not decrypt TLS", "set protocol: TCP on the listener and the target group"
    if near := next(filter(is_near, bind_addresses), None):
        # Packets to loopback never leave for another interface.
        return (
            f"the kernel does not forward what is sent to {near.strip('[]')}",
            "set address on the load balancer to one of the machine's own, or scheme: internet-facing",
        )
    if group.is_alb:
        return f"only HAProxy reaches the load balancer of target group {name}", "forward to a group of target_type: ip"
    if group.target_type != "ip":
        return f"the targets of {name} are ports of 127.0.0.1", f"set target_type: ip on target group {name}"
    if group.attributes.proxy_protocol_v2:
        return (
            f"target group {name} has proxy_protocol_v2.enabled, and the kernel sends no PROXY header",
            f"set proxy_protocol_v2.enabled: false on target group {name}",
        )
    return None


def kernel_reason(protocol: str | None, group: NetworkTargetGroup, name: str) -> str:
    """Return why only the kernel can carry a listener's connections to a target group, or an empty text."""
    if "udp" in transports(protocol):
        return f"HAProxy does not carry {protocol}"
    if group.preserves_client and not group.is_alb:
        return f"target group {name} has preserve_client_ip.enabled, and HAProxy connects from its own address"
    return ""


def family_mistake(
    protocol: str | None, bind_addresses: Iterable[str], group: NetworkTargetGroup, name: str
) -> Mistake | None:
    """Return why containers get no flows from some address of a listener, or None. Their addresses are of IPv4."""
    reason = kernel_reason(protocol, group, name)
    six = next((address for address in bind_addresses if ":" in address), None)
    if not (reason and six):
        return None
    return (
        f"{six.strip('[]')} is an address of IPv6, from which the kernel forwards nothing to the containers of target "
        f"group {name}; {reason}",
        "use addresses of IPv4, or protocol: TCP without preserve_client_ip.enabled",
    )


def plane_mistake(
    protocol: str | None, bind_addresses: Iterable[str], groups: Mapping[str, NetworkTargetGroup]
) -> Mistake | None:
    """Return why neither the kernel nor HAProxy can carry a listener, or None. `groups`: by name, all of the listener.

    One plane carries all connections of a listener.
    """
    addresses = tuple(bind_addresses)
    reasons = (kernel_reason(protocol, group, name) for name, group in groups.items())
    obstacles = (kernel_obstacle(protocol, addresses, group, name) for name, group in groups.items())
    reason, obstacle = next(filter(None, reasons), ""), next(filter(None, obstacles), None)
    return (f"{reason}, but {obstacle[0]}", obstacle[1]) if reason and obstacle else None
