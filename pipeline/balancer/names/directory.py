"""The names of all load balancers with addresses, and the nodes that each of them leads to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address

from pipeline.balancer.effective import effective_listeners, has_both_families
from pipeline.balancer.model.gateway.load_balancer import GatewayLoadBalancerSettings
from pipeline.balancer.model.network.attributes import RoutingPolicy
from pipeline.balancer.model.network.load_balancer import NetworkLoadBalancerSettings
from pipeline.balancer.names.node import ANY_ZONE, Node
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import LoadBalancerResource

DOMAIN = "elb.internal"
"""The domain of all names. ICANN has reserved `internal` for private use."""

InService = Callable[[str, str, str], bool]
"""From a load balancer's owner and name, and a zone, to whether clients may be sent to its node."""


@dataclass(frozen=True)
class Entry:
    """What a name leads to.

    `nodes` are empty if the load balancer listens on every address of the machine. `versions` are the IP versions of
    these addresses.
    """

    nodes: tuple[Node, ...] = ()
    policy: RoutingPolicy = ANY_ZONE
    versions: tuple[int, ...] = ()


@dataclass(frozen=True)
class Directory:
    """All names, relative to `DOMAIN` and in lower case: `LB.OWNER`, `LB` and `ZONE.LB.OWNER`."""

    entries: Mapping[str, Entry]

    @classmethod
    def from_registry(cls, registry: Registry, in_service: InService) -> Directory:
        """Return the names of a registry's load balancers. A name that fits several of them does not exist."""
        found = [
            named
            for balancer in registry.load_balancers.values()
            if not isinstance(balancer.settings, GatewayLoadBalancerSettings)
            for named in _names(registry, balancer, in_service)
        ]
        count = Counter(name for name, _ in found)
        return cls({name: entry for name, entry in found if count[name] == 1})

    def has_below(self, name: str) -> bool:
        """Return whether some name ends in this one, so that it exists although it leads nowhere."""
        return name in self._parents

    @cached_property
    def _parents(self) -> frozenset[str]:
        return frozenset(
            ".".join(labels[start:])
            for labels in (name.split(".") for name in self.entries)
            for start in range(1, len(labels))
        )


def _names(registry: Registry, balancer: LoadBalancerResource, in_service: InService) -> Iterator[tuple[str, Entry]]:
    """Yield the names of a load balancer. Those of two load balancers may be equal, because case does not count."""
    entry = _entry(registry, _carrier(registry, balancer), in_service)
    name = f"{balancer.name}.{balancer.owner}".lower()
    yield name, entry
    yield balancer.name.lower(), entry
    for node in entry.nodes:
        if node.zone is not None:
            yield f"{node.zone}.{name}".lower(), Entry((node,))


def _carrier(registry: Registry, balancer: LoadBalancerResource) -> LoadBalancerResource:
    """Return the load balancer that accepts the traffic.

    It is another one if all listeners of `balancer` add their rules to listeners of that one.
    """
    own = [one for one in registry.listeners.values() if one.load_balancer == balancer.id]
    if not all(one.is_guest for one in own):
        return balancer
    ports = {one.settings.port for one in own}
    hosts = [host for host in effective_listeners(registry) if host.port in ports]
    same = [host for host in hosts if host.balancer.bind_addresses == balancer.settings.bind_addresses]
    names = [(host.owner, host.name) for host in same or hosts]
    return next((one for one in registry.load_balancers.values() if (one.owner, one.name) in names[:1]), balancer)


def _entry(registry: Registry, balancer: LoadBalancerResource, in_service: InService) -> Entry:
    settings = balancer.settings
    if isinstance(settings, GatewayLoadBalancerSettings):
        # It has no address, so it has no name either.
        return Entry()
    if settings.zones:
        nodes = tuple(
            Node(zone.address, name, zone.network, in_service(balancer.owner, balancer.name, name))
            for name, zone in settings.zones.items()
        )
        if isinstance(settings, NetworkLoadBalancerSettings):
            return Entry(nodes, settings.attributes.client_routing_policy)
        return Entry(nodes)
    if settings.bind_address == "*":
        return Entry(versions=(4, 6) if _accepts_ipv6(registry, balancer) else (4,))
    address = ip_address(settings.bind_address.strip("[]"))
    if address.is_unspecified:
        return Entry(versions=(4,) if address.version == 4 else (4, 6))
    return Entry((Node(address),))


def _accepts_ipv6(registry: Registry, balancer: LoadBalancerResource) -> bool:
    """Return whether no other load balancer may listen on an IPv6 address of the machine instead."""
    listeners = effective_listeners(registry)
    own = [one for one in listeners if (one.owner, one.name) == (balancer.owner, balancer.name)]
    return all(has_both_families(one, listeners) for one in own)
