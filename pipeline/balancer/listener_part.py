"""The listeners of each owner, with their own rules and certificates. `effective` joins those of all owners."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from pipeline.balancer.binding import Binding
from pipeline.balancer.model import Rule
from pipeline.balancer.model.application.listener import ListenerSettings
from pipeline.balancer.model.tls import Certificate
from pipeline.balancer.model.variants import AnyListenerSettings, AnyLoadBalancerSettings
from pipeline.balancer.resources import Resources, RuleResource, named_rules, with_groups
from pipeline.base.identity_cache import IdentityCache


@dataclass(frozen=True)
class OwnedRule:
    """A rule and its owner. It names target groups of that owner."""

    owner: str
    rule: Rule


@dataclass(frozen=True, eq=False)
class ListenerPart:
    """A listener of one owner, with its rules and certificates."""

    owner: str
    name: str
    number: int
    balancer: AnyLoadBalancerSettings
    listener: AnyListenerSettings
    rules: tuple[OwnedRule, ...]
    certificates: tuple[Certificate, ...]
    away: str | None

    @property
    def port(self) -> int:
        """The port on which it accepts requests."""
        return self.listener.port

    @property
    def binding(self) -> Binding:
        """Its addresses and port."""
        return Binding.of(self.balancer, self.listener)

    @property
    def is_guest(self) -> bool:
        """True if it adds its rules to another listener."""
        return self.listener.default_action is None

    @property
    def has_rules(self) -> bool:
        """True if it may have rules: only those of application load balancers do."""
        return isinstance(self.listener, ListenerSettings)


def listener_parts(resources: Resources) -> Iterator[ListenerPart]:
    """Yield all listeners: owners in the order of their listeners, load balancers of one owner by name."""
    names = resources.group_names()
    owned_rule = _owned_rules(named_rules(frozenset(names.items())))
    owners = dict.fromkeys(listener.owner for listener in resources.listeners.values())
    found = resources.listeners.values()
    rules: dict[str, list[OwnedRule]] = {}
    for made in resources.rules.values():
        rules.setdefault(made.listener, []).append(owned_rule(made))
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
            yield ListenerPart(
                owner,
                balancer.name,
                listener.number,
                balancer.settings,
                settings,
                tuple(sorted(rules.get(listener.id, ()), key=lambda owned: owned.rule.priority)),
                tuple(certificates.get(listener.id, ())),
                balancer.shift.zone if balancer.shift else None,
            )


@lru_cache(maxsize=2)
def _owned_rules(named: Callable[[RuleResource], Rule]) -> IdentityCache[RuleResource, OwnedRule]:
    return IdentityCache(lambda made: OwnedRule(made.owner, named(made)))
