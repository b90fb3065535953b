"""The explanation of a connection to a network load balancer: its listener, its node, and the targets' shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.balancer.balancer import Balancer
    from pipeline.balancer.effective import EffectiveListener, EffectiveNetworkListener
    from pipeline.balancer.flow_shares import TargetShare
    from pipeline.balancer.plane_choice import PlaneChoice

SCHEMES = ("tcp", "tls", "udp")
# A listener of these protocols accepts connections to a URL of the scheme.
_PROTOCOLS = {"tcp": ("TCP", "TCP_UDP", "TLS"), "tls": ("TLS",), "udp": ("UDP", "TCP_UDP")}


@dataclass(frozen=True)
class FlowExplanation:
    """A listener, the zones of its nodes that the address may mean (None without zones), and the targets' shares.

    `choice` says what carries the listener. `sticky` are the groups that keep clients by their addresses.
    """

    listener: EffectiveNetworkListener
    zones: Sequence[str | None]
    choice: PlaneChoice
    shares: Sequence[TargetShare]
    sticky: frozenset[str]


def explain_flow(balancer: Balancer, scheme: str, host: str, port: int) -> FlowExplanation:
    """Return what happens to a new connection to an address and port. Raises `ConfigError` without a listener there."""
    from pipeline.balancer.effective import effective_listeners
    from pipeline.balancer.flow_shares import flow_shares

    registry = balancer.registry()
    listener, zones = _listener(effective_listeners(registry), scheme, host, port)
    groups = {
        name: (registry.group(owner, name), balancer.target_health(owner, name)) for owner, name in listener.groups()
    }
    shares = [share for zone in zones for share in flow_shares(listener, zone, groups)]
    sticky = frozenset(name for name, (group, _) in groups.items() if group.attributes.stickiness)
    choice = next(choice for each, choice in balancer.plane_choices() if each.number == listener.number)
    return FlowExplanation(listener, zones, choice, shares, sticky)


def _listener(
    listeners: Sequence[EffectiveListener], scheme: str, host: str, port: int
) -> tuple[EffectiveNetworkListener, Sequence[str | None]]:
    """Return the listener that accepts the connection, and the zones of the nodes that the host may mean."""
    from pipeline.balancer.effective import EffectiveNetworkListener
    from pipeline.cli.balancer_format import format_listener

    network = [one for one in listeners if isinstance(one, EffectiveNetworkListener)]
    found = [(one, _nodes(one, host)) for one in network if one.port == port]
    fitting = [(one, zones) for one, zones in found if zones and one.listener.protocol in _PROTOCOLS[scheme]]
    if fitting:
        return fitting[0]
    known = "; ".join(map(format_listener, network))
    raise ConfigError(
        f"no network load balancer accepts {scheme.upper()} at {host}:{port}",
        hint=f"declared: {known}" if known else "no network load balancer is declared; for a request, give its URL",
    )


def _nodes(listener: EffectiveNetworkListener, host: str) -> Sequence[str | None]:
    """Return the zones of the listener's nodes with this address. None is the node of one without zones.

    A name may mean any of them.
    """
    address = _address(host)
    zones = listener.balancer.zones
    if zones:
        return [name for name, zone in zones.items() if address in (None, zone.address)]
    bound = listener.balancer.bind_address.strip("[]")
    is_here = address is None or bound == "*" or ip_address(bound) == address or ip_address(bound).is_unspecified
    return [None] if is_here else []


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def show_flow(found: FlowExplanation) -> None:
    """Print the listener, and a table of the targets with their shares."""
    from pipeline.cli.balancer_format import format_listener
    from pipeline.cli.console import show, table

    click.echo(f"{format_listener(found.listener)}, {found.choice}")
    nodes = found.listener.balancer.zones or {}
    for zone in found.zones:
        if zone:
            click.echo(f"node {zone}: {nodes[zone].address}")
    for name in sorted(found.sticky):
        click.echo(f"target group {name} keeps each client address with one target, so shares are those of addresses")
    rows = [_row(found, share) for share in found.shares]
    headings = [*(["node"] if nodes else []), "target group", "target", "zone", "state", "connections"]
    if rows:
        show(table(rows, *headings))
    else:
        click.echo("no targets are registered, so connections are refused")


def _row(found: FlowExplanation, share: TargetShare) -> tuple[str, ...]:
    node = (str(share.zone),) if found.listener.balancer.zones else ()
    target = share.health.target
    state = f"{share.health.state}, its group fails open" if share.fails_open else str(share.health.state)
    where = f"{target.id} {target.address}:{target.port}"
    return (*node, f"{share.group} ({share.weight:g} %)", where, target.zone or "-", state, f"{share.share:.4g} %")


def flow_data(found: FlowExplanation) -> dict[str, Any]:
    """Return the explanation for JSON."""
    return {
        "port": found.listener.port,
        "protocol": found.listener.listener.protocol,
        "load_balancer": {"name": found.listener.name, "owner": found.listener.owner},
        "plane": found.choice.plane.lower(),
        "nodes": [_node_data(found, zone) for zone in found.zones],
    }


def _node_data(found: FlowExplanation, zone: str | None) -> Mapping[str, Any]:
    return {
        "zone": zone,
        "targets": [
            {
                "target_group": share.group,
                "weight": round(share.weight, 4),
                "sticky": share.group in found.sticky,
                "fails_open": share.fails_open,
                "target": share.health.target.model_dump(mode="json"),
                "state": share.health.state,
                "share": round(share.share, 4),
            }
            for share in found.shares
            if share.zone == zone
        ],
    }
