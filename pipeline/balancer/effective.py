"""Effective listeners: the rules of all owners for one address and port, merged."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

from pipeline.balancer.binding import Binding
from pipeline.balancer.listener_part import ListenerPart, OwnedRule, listener_parts
from pipeline.balancer.model import Action, ApplicationTargetGroup, NetworkTargetGroup, TargetGroup
from pipeline.balancer.model.application.listener import ListenerSettings
from pipeline.balancer.model.application.load_balancer import LoadBalancerSettings
from pipeline.balancer.model.endpoint import EntryPoint
from pipeline.balancer.model.gateway.listener import NO_PORT, GatewayListenerSettings
from pipeline.balancer.model.gateway.load_balancer import GatewayLoadBalancerSettings
from pipeline.balancer.model.load_balancer_target import entry_mistake
from pipeline.balancer.model.network.kernel_needs import plane_mistake
from pipeline.balancer.model.network.listener import NetworkListenerSettings
from pipeline.balancer.model.network.load_balancer import NetworkLoadBalancerSettings
from pipeline.balancer.model.protocol import GENEVE, forward_mistake
from pipeline.balancer.model.tls import Certificate
from pipeline.balancer.model.variants import AnyListenerSettings, AnyLoadBalancerSettings
from pipeline.balancer.resources import Resources
from pipeline.base.errors import ConfigError

# The numbers of further listeners of a port are above all ports.
_NUMBER_STEP = 100_000
# The latest results, because one change asks for them half a dozen times, and each part of a daemon reads a registry of
# its own.
_recent: list[tuple[tuple[Mapping[str, object], ...], tuple[EffectiveListener, ...]]] = []
_MAX_RECENT = 8


@dataclass(frozen=True)
class EffectiveListener:
    """An address and a port with their owner, and the rules of all owners by priority.

    `owner`, `balancer` and `listener` are those with the default action, which names target groups by name. The
    listener's own certificates come first. `number` names its files. It is the port, or a higher number for a further
    listener of the port. It never changes, because replaced workers of the data plane pass requests on by it.
    `away` is the zone that is shifted away.
    """

    owner: str
    name: str
    balancer: AnyLoadBalancerSettings
    listener: AnyListenerSettings
    rules: tuple[OwnedRule, ...]
    certificates: tuple[Certificate, ...] = field(default=())
    number: int = 0
    away: str | None = None

    @property
    def port(self) -> int:
        """The port on which it accepts requests."""
        return self.listener.port

    @property
    def binding(self) -> Binding:
        """Its addresses and port, which overlap with no other listener's."""
        return Binding.of(self.balancer, self.listener)

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs by which clients on this machine reach it. Empty for that of a gateway load balancer."""
        return self.balancer.urls(self.listener)

    @property
    def address(self) -> str:
        """Its addresses and port as text."""
        return ", ".join(f"{address}:{self.port}" for address in self.balancer.bind_addresses)

    @property
    def default_action(self) -> Action:
        """The action for a request that no rule matches."""
        assert self.listener.default_action is not None
        return self.listener.default_action

    def actions(self) -> tuple[Action, ...]:
        """Return the action of every rule, and the default action."""
        return (*(owned.rule.action for owned in self.rules), self.default_action)

    def groups(self) -> frozenset[tuple[str, str]]:
        """Return the owner and name of each target group that it may forward to."""
        return self._groups

    def owned_actions(self) -> tuple[tuple[str, Action], ...]:
        """Return the action of every rule, and the default action, each with its owner."""
        return (*((owned.owner, owned.rule.action) for owned in self.rules), (self.owner, self.default_action))

    @cached_property
    def _groups(self) -> frozenset[tuple[str, str]]:
        found = self.owned_actions()
        return frozenset((owner, group.target_group) for owner, action in found for group in action.groups())

    @property
    def label(self) -> str:
        """Its description for messages."""
        return f"load balancer {self.name} of {self.owner}"


@dataclass(frozen=True)
class EffectiveApplicationListener(EffectiveListener):
    """A listener of an application load balancer."""

    balancer: LoadBalancerSettings
    listener: ListenerSettings


@dataclass(frozen=True)
class EffectiveNetworkListener(EffectiveListener):
    """A listener of a network load balancer. It has no rules."""

    balancer: NetworkLoadBalancerSettings
    listener: NetworkListenerSettings


@dataclass(frozen=True)
class EffectiveGatewayListener(EffectiveListener):
    """The listener of a gateway load balancer. It has no rules, no address, and 0 in place of a port."""

    balancer: GatewayLoadBalancerSettings
    listener: GatewayListenerSettings

    @property
    def group(self) -> str:
        """The name of the owner's target group whose appliances get the packets."""
        return self.listener.group


def effective_listeners(resources: Resources) -> tuple[EffectiveListener, ...]:
    """Return all listeners by port. Raises `ConfigError` if two have the same address and port, or the same priority.

    A clash is blamed on the last one in `resources`. Rules for a listener that does not exist are left out, because its
    owner decides how it is protected. So is an HTTPS listener without a certificate.
    """
    kinds = tuple(resources.by_field().values())
    # Resources are frozen, so the same objects give the same listeners.
    recent = tuple(_recent)
    found = next((one for one in recent if all(map(operator.is_, one[0], kinds))), None) or (
        kinds,
        tuple(_listeners(resources)),
    )
    if not recent or recent[-1] is not found:
        # The latest use counts: one change asks for the listeners before and after it in turns.
        _recent[:] = [*(one for one in recent if one is not found), found][-_MAX_RECENT:]
    return found[1]


def has_both_families(effective: EffectiveListener, listeners: Sequence[EffectiveListener]) -> bool:
    """Return whether a listener of every IPv4 address accepts IPv6 too: no other one of its port has an address."""
    others = (
        other
        for other in listeners
        if other.port == effective.port
        and other is not effective
        and other.binding.transports & effective.binding.transports
    )
    return effective.balancer.bind_addresses == ("*",) and not any(
        ":" in address for other in others for address in other.balancer.bind_addresses
    )


def _listeners(resources: Resources) -> Iterator[EffectiveListener]:
    by_port: dict[int, list[ListenerPart]] = {}
    for part in listener_parts(resources):
        by_port.setdefault(part.port, []).append(part)
    groups = {(group.owner, group.name): group.settings for group in resources.target_groups.values()}
    is_mixed = any(not isinstance(settings, ApplicationTargetGroup) for settings in groups.values())
    for port in sorted(by_port):
        for effective in _on_port(by_port[port]):
            # A listener may have a thousand rules, and usually there is nothing to find.
            if is_mixed or not isinstance(effective, EffectiveApplicationListener):
                _check_forwards(effective, groups)
            yield effective


def _on_port(parts: Sequence[ListenerPart]) -> Iterator[EffectiveListener]:
    hosts = [part for part in parts if not part.is_guest]
    for one, other in combinations(hosts, 2):
        if one.port == NO_PORT and (one.owner, one.name) == (other.owner, other.name):
            raise ConfigError(f"load balancer {one.name} of {one.owner} is a gateway and must have one listener, got 2")
        if one.binding.overlaps(other.binding):
            raise _clash(one, other)
    joinable = [host for host in hosts if host.has_rules]
    guests = [(part, _host_of(part, joinable)) for part in parts if part.is_guest]
    if guests and not joinable and (others := [host for host in hosts if "tcp" in host.binding.transports]):
        raise _no_rules(guests[0][0], others[0])
    _check_priorities(parts[0].port, _rules([guest for guest, host in guests if host is None]))
    # Rules of one owner and one priority stay in the order of its listeners.
    joined = {id(host): [host] for host in hosts}
    for guest, host in guests:
        if host is not None:
            joined[id(host)].append(guest)
    found = [_merge(host, [part for part in parts if part in joined[id(host)]]) for host in hosts]
    ready = [effective for effective in found if effective.certificates or not effective.listener.secure]
    yield from sorted(ready, key=lambda effective: effective.number)


def _clash(one: ListenerPart, other: ListenerPart) -> ConfigError:
    return ConfigError(
        f"port {other.port} of load balancer {other.name} of {other.owner} is taken by "
        f"load balancer {one.name} of {one.owner}",
        hint="use another port"
        if not (one.has_rules and other.has_rules)
        else "use another port, or leave default_action out to add rules to that listener",
    )


def _no_rules(guest: ListenerPart, host: ListenerPart) -> ConfigError:
    return ConfigError(
        f"load balancer {guest.name} of {guest.owner} adds rules to port {host.port} of load balancer {host.name} of "
        f"{host.owner}, which is a network load balancer",
        hint="use another port, because a listener of a network load balancer has no rules",
    )


def _host_of(guest: ListenerPart, hosts: Sequence[ListenerPart]) -> ListenerPart | None:
    """Return the listener of its port that a guest joins: the one with its address, else the only one."""
    exact = [host for host in hosts if host.binding == guest.binding]
    if exact or len(hosts) <= 1:
        return next(iter(exact or hosts), None)
    raise ConfigError(
        f"load balancer {guest.name} of {guest.owner} adds rules to port {guest.port}, which has several listeners",
        hint=f"set address to one of {', '.join(a for host in hosts for a in host.balancer.bind_addresses)}",
    )


def _rules(parts: Sequence[ListenerPart]) -> list[OwnedRule]:
    return [owned for part in parts for owned in part.rules]


def _merge(host: ListenerPart, parts: Sequence[ListenerPart]) -> EffectiveListener:
    """Join `parts`, which include the host, into one listener."""
    rules = _rules(parts)
    _check_priorities(host.port, rules)
    _check_tls(host.listener, rules)
    _check_scheme(host, parts)
    guests = sorted((part for part in parts if part.is_guest), key=lambda part: part.owner)
    common: dict[str, Any] = {
        "owner": host.owner,
        "name": host.name,
        "rules": tuple(sorted(rules, key=lambda owned: owned.rule.priority)),
        "certificates": tuple(certificate for part in (host, *guests) for certificate in part.certificates),
        "number": host.port + host.number * _NUMBER_STEP,
        "away": host.away,
    }
    return _listener(host, rules, common)


def _listener(host: ListenerPart, rules: Sequence[OwnedRule], common: Mapping[str, Any]) -> EffectiveListener:
    """Return the listener of the load balancer's kind. Raises `ConfigError` if the parts are of different kinds."""
    balancer, listener = host.balancer, host.listener
    if isinstance(balancer, LoadBalancerSettings) and isinstance(listener, ListenerSettings):
        return EffectiveApplicationListener(balancer=balancer, listener=listener, **common)
    if (
        isinstance(balancer, NetworkLoadBalancerSettings)
        and isinstance(listener, NetworkListenerSettings)
        and not rules
    ):
        return EffectiveNetworkListener(balancer=balancer, listener=listener, **common)
    if (
        isinstance(balancer, GatewayLoadBalancerSettings)
        and isinstance(listener, GatewayListenerSettings)
        and not rules
    ):
        return EffectiveGatewayListener(balancer=balancer, listener=listener, **common)
    raise _wrong_kind(host, rules)


def _wrong_kind(host: ListenerPart, rules: Sequence[OwnedRule]) -> ConfigError:
    """Return the error for what only resources that are made one by one can get wrong."""
    if isinstance(host.balancer, GatewayLoadBalancerSettings) or isinstance(host.listener, GatewayListenerSettings):
        return ConfigError(
            f"load balancer {host.name} of {host.owner} has type {host.balancer.type} and a listener of protocol "
            f"{host.listener.protocol}; protocol {GENEVE} belongs to type gateway, and no other does"
        )
    if rules and not host.has_rules:
        return ConfigError(
            f"rule {rules[0].rule.priority} of {rules[0].owner} is for a {host.balancer.type} load balancer's listener"
        )
    return ConfigError(
        f"port {host.port} of load balancer {host.name} of {host.owner} has protocol {host.listener.protocol}, "
        f"which its type {host.balancer.type} does not have"
    )


def _check_forwards(effective: EffectiveListener, groups: Mapping[tuple[str, str], TargetGroup]) -> None:
    """Raise `ConfigError` if a listener forwards to a target group of the other kind, or that no plane carries."""
    protocol, used = effective.listener.protocol, {name: groups[owner, name] for owner, name in effective.groups()}
    network = {name: group for name, group in sorted(used.items()) if isinstance(group, NetworkTargetGroup)}
    for name, group in sorted(used.items()):
        mistake = forward_mistake(protocol, group.protocol, name) or entry_mistake(protocol, group.target_type, name)
        if mistake := mistake or plane_mistake(protocol, effective.balancer.bind_addresses, network):
            raise ConfigError(f"{effective.label}, port {effective.port}: {mistake[0]}", hint=mistake[1])


def _check_priorities(port: int, rules: list[OwnedRule]) -> None:
    taken: dict[int, str] = {}
    for owned in rules:
        other = taken.setdefault(owned.rule.priority, owned.owner)
        if other != owned.owner:
            raise ConfigError(
                f"priority {owned.rule.priority} on port {port} is taken twice: by {other} and by {owned.owner}",
                hint="give one of the two rules another priority",
            )


def _check_tls(listener: AnyListenerSettings, rules: list[OwnedRule]) -> None:
    """Raise `ConfigError` if a rule validates tokens and the listener is not HTTPS."""
    for owned in rules:
        if owned.rule.action.jwt_validation and not listener.secure:
            raise ConfigError(
                f"rule {owned.rule.priority} of {owned.owner} validates tokens, and port {listener.port} is not HTTPS",
                hint="set protocol: HTTPS on the listener",
            )


def _check_scheme(host: ListenerPart, parts: Sequence[ListenerPart]) -> None:
    """Check that rules of an internal load balancer do not join an internet-facing one."""
    for part in parts:
        if _is_internal(part) and not _is_internal(host):
            raise ConfigError(
                f"load balancer {part.name} of {part.owner} is internal, but port {part.port} belongs to "
                f"load balancer {host.name} of {host.owner}, which is internet-facing",
                hint="set scheme: internet-facing to publish these rules",
            )


def _is_internal(part: ListenerPart) -> bool:
    return isinstance(part.balancer, EntryPoint) and part.balancer.scheme == "internal"
