"""Listeners as they run: what several owners have for one address and port, put together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import combinations

from pipeline.balancer.model import Action, Rule
from pipeline.balancer.model.application.listener import ListenerSettings
from pipeline.balancer.model.application.load_balancer import LoadBalancerSettings
from pipeline.balancer.model.tls import Certificate
from pipeline.balancer.resources import Resources, with_groups
from pipeline.base.errors import ConfigError

# Further listeners of a port are numbered above all ports.
_NUMBER_STEP = 100_000
# The latest results: a change is looked at half a dozen times on its way.
_recent: deque[tuple[tuple[Mapping[str, object], ...], tuple[EffectiveListener, ...]]] = deque(maxlen=2)


@dataclass(frozen=True)
class Binding:
    """Where a listener is bound. `address`: `*` is every address of version 4, `[::]` every address."""

    address: str
    port: int

    def overlaps(self, other: Binding) -> bool:
        """Return whether the kernel would refuse both."""
        if self.port != other.port:
            return False
        return self.address == other.address or self._covers(other) or other._covers(self)

    def _covers(self, other: Binding) -> bool:
        bare = self.address.strip("[]")
        if bare == "*" or ip_address(bare).is_unspecified:
            return ":" in bare or ":" not in other.address
        return False


@dataclass(frozen=True)
class OwnedRule:
    """A rule and whose it is. It names target groups of that owner, by name."""

    owner: str
    rule: Rule


@dataclass(frozen=True)
class EffectiveListener:
    """An address and a port, whose they are, and the rules of all owners in the order of their priority.

    `owner`, `balancer` and `listener` are those with the default action, which names target groups by name. Its own
    certificates come first. `number` names its files: the port, or for another listener of the port a higher number.
    A replaced data plane passes requests on by it, so it is the listener's as long as that exists.
    """

    owner: str
    name: str
    balancer: LoadBalancerSettings
    listener: ListenerSettings
    rules: tuple[OwnedRule, ...]
    certificates: tuple[Certificate, ...] = field(default=())
    number: int = 0

    @property
    def port(self) -> int:
        """The port it answers on."""
        return self.listener.port

    @property
    def binding(self) -> Binding:
        """What it is bound to, which overlaps with no other's."""
        return Binding(self.balancer.bind_address, self.port)

    @property
    def address(self) -> str:
        """The same in one word."""
        return f"{self.balancer.bind_address}:{self.port}"

    @property
    def default_action(self) -> Action:
        """What happens to a request that no rule takes."""
        assert self.listener.default_action is not None
        return self.listener.default_action

    def actions(self) -> tuple[Action, ...]:
        """The action of every rule, and the default."""
        return (*(owned.rule.action for owned in self.rules), self.default_action)

    def groups(self) -> frozenset[tuple[str, str]]:
        """The target groups it may forward to: owner and name."""
        found = [*((owned.owner, owned.rule.action) for owned in self.rules), (self.owner, self.default_action)]
        return frozenset((owner, group.target_group) for owner, action in found for group in action.groups())

    @property
    def label(self) -> str:
        """It in words, for messages."""
        return f"load balancer {self.name} of {self.owner}"


@dataclass(frozen=True, eq=False)
class _Part:
    """A listener of one owner, with what belongs to it."""

    owner: str
    name: str
    number: int
    balancer: LoadBalancerSettings
    listener: ListenerSettings
    rules: tuple[Rule, ...]
    certificates: tuple[Certificate, ...]

    @property
    def port(self) -> int:
        return self.listener.port

    @property
    def binding(self) -> Binding:
        return Binding(self.balancer.bind_address, self.port)

    @property
    def is_guest(self) -> bool:
        return self.listener.default_action is None


def effective_listeners(resources: Resources) -> tuple[EffectiveListener, ...]:
    """Return all listeners by port. Raises `ConfigError` where two want the same address and port, or priority.

    What comes last in `resources` is what is refused. Rules for a listener that is not there wait: how to protect them
    is its owner's to say. So does an HTTPS listener without a certificate.
    """
    kinds = tuple(resources.by_field().values())
    for known, found in tuple(_recent):
        # Resources are frozen: what has the same parts has the same listeners.
        if all(one is other for one, other in zip(known, kinds, strict=True)):
            return found
    found = tuple(_listeners(resources))
    _recent.append((kinds, found))
    return found


def _listeners(resources: Resources) -> Iterator[EffectiveListener]:
    by_port: dict[int, list[_Part]] = {}
    for part in _parts(resources):
        by_port.setdefault(part.port, []).append(part)
    for port in sorted(by_port):
        yield from _on_port(by_port[port])


def _on_port(parts: Sequence[_Part]) -> Iterator[EffectiveListener]:
    hosts = [part for part in parts if not part.is_guest]
    for one, other in combinations(hosts, 2):
        if one.binding.overlaps(other.binding):
            raise _clash(one, other)
    guests = [(part, _host_of(part, hosts)) for part in parts if part.is_guest]
    _check_priorities(parts[0].port, _rules([guest for guest, host in guests if host is None]))
    # Rules of one owner and one priority stay in the order of its listeners.
    joined = {id(host): [host] for host in hosts}
    for guest, host in guests:
        if host is not None:
            joined[id(host)].append(guest)
    found = [_merge(host, [part for part in parts if part in joined[id(host)]]) for host in hosts]
    ready = [effective for effective in found if effective.certificates or not effective.listener.secure]
    yield from sorted(ready, key=lambda effective: effective.number)


def _clash(one: _Part, other: _Part) -> ConfigError:
    return ConfigError(
        f"port {other.port} of load balancer {other.name} of {other.owner} is taken by "
        f"load balancer {one.name} of {one.owner}",
        hint="give one of the two listeners another port; to add rules to the other's listener, "
        "leave default_action out",
    )


def _parts(resources: Resources) -> Iterator[_Part]:
    """Owners in the order of their listeners; of one owner, load balancers by name."""
    names = {id_: group.name for id_, group in resources.target_groups.items()}
    owners = dict.fromkeys(listener.owner for listener in resources.listeners.values())
    found = resources.listeners.values()
    rules: dict[str, list[Rule]] = {}
    for made in resources.rules.values():
        rule = made.rule.model_copy(update={"action": with_groups(made.rule.action, names)})
        rules.setdefault(made.listener, []).append(rule)
    certificates: dict[str, list[Certificate]] = {}
    for shown in sorted(resources.certificates.values(), key=lambda shown: shown.position):
        certificates.setdefault(shown.listener, []).append(shown.certificate)
    for owner in owners:
        own = [listener for listener in found if listener.owner == owner]
        for listener in sorted(own, key=lambda listener: resources.load_balancers[listener.load_balancer].name):
            balancer, settings = resources.load_balancers[listener.load_balancer], listener.settings
            if settings.default_action:
                action = with_groups(settings.default_action, names)
                settings = settings.model_copy(update={"default_action": action})
            yield _Part(
                owner,
                balancer.name,
                listener.number,
                balancer.settings,
                settings,
                tuple(sorted(rules.get(listener.id, ()), key=lambda rule: rule.priority)),
                tuple(certificates.get(listener.id, ())),
            )


def _host_of(guest: _Part, hosts: Sequence[_Part]) -> _Part | None:
    """Return whose listener a guest joins: of those of its port, the one of its address, else the only one."""
    exact = [host for host in hosts if host.binding == guest.binding]
    if exact or len(hosts) <= 1:
        return next(iter(exact or hosts), None)
    raise ConfigError(
        f"load balancer {guest.name} of {guest.owner} adds rules to port {guest.port}, which several listeners have",
        hint=f"write the address of one of them: {', '.join(host.balancer.bind_address for host in hosts)}",
    )


def _rules(parts: Sequence[_Part]) -> list[OwnedRule]:
    return [OwnedRule(part.owner, rule) for part in parts for rule in part.rules]


def _merge(host: _Part, parts: Sequence[_Part]) -> EffectiveListener:
    rules = _rules(parts)
    _check_priorities(host.port, rules)
    _check_tls(host.listener, rules)
    _check_scheme(host, parts)
    guests = sorted((part for part in parts if part.owner != host.owner), key=lambda part: part.owner)
    return EffectiveListener(
        owner=host.owner,
        name=host.name,
        balancer=host.balancer,
        listener=host.listener,
        rules=tuple(sorted(rules, key=lambda owned: owned.rule.priority)),
        certificates=tuple(certificate for part in (host, *guests) for certificate in part.certificates),
        number=host.port + host.number * _NUMBER_STEP,
    )


def _check_priorities(port: int, rules: list[OwnedRule]) -> None:
    taken: dict[int, str] = {}
    for owned in rules:
        other = taken.setdefault(owned.rule.priority, owned.owner)
        if other != owned.owner:
            raise ConfigError(
                f"priority {owned.rule.priority} on port {port} is taken twice: by {other} and by {owned.owner}",
                hint="give one of the two rules another priority",
            )


def _check_tls(listener: ListenerSettings, rules: list[OwnedRule]) -> None:
    """A rule of another owner's is checked against the listener that it joins."""
    for owned in rules:
        if owned.rule.action.jwt_validation and not listener.secure:
            raise ConfigError(
                f"rule {owned.rule.priority} of {owned.owner} validates tokens, and port {listener.port} is not HTTPS",
                hint="a token sent in the clear is anybody's: give the listener protocol: HTTPS",
            )


def _check_scheme(host: _Part, parts: Sequence[_Part]) -> None:
    """What is meant for an internal load balancer is not put on one that everybody reaches."""
    for part in parts:
        if part.balancer.scheme == "internal" and host.balancer.scheme != "internal":
            raise ConfigError(
                f"load balancer {part.name} of {part.owner} is internal, and its rules are for port {part.port} of "
                f"load balancer {host.name} of {host.owner}, which is internet-facing",
                hint="write scheme: internet-facing where that is meant",
            )
