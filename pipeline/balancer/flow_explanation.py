"""The explanation of a connection to a network load balancer: its listener, its node, and the targets' shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.effective import EffectiveListener, EffectiveNetworkListener, effective_listeners
from pipeline.balancer.flow_shares import TargetShare, flow_shares
from pipeline.balancer.plane_choice import PlaneChoice
from pipeline.balancer.rule_text import format_listener
from pipeline.base.errors import ConfigError

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


def explain_flow(balancer: BalancerReader, scheme: str, host: str, port: int) -> FlowExplanation:
    """Return what happens to a new connection to an address and port. Raises `ConfigError` without a listener there."""
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
