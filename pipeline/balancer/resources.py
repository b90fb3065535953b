"""The resources of a balancer: load balancers, listeners, certificates, rules, target groups and endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import ClassVar, Self

from pydantic import Field

from pipeline.balancer.balancer_resource import DECLARED, BalancerResource, Id, declared_id
from pipeline.balancer.endpoint_resources import EndpointResource, EndpointServiceResource
from pipeline.balancer.model import Action, Model, Name, Rule
from pipeline.balancer.model.application.action import WeightedTargetGroup
from pipeline.balancer.model.gateway.listener import GatewayListenerSettings
from pipeline.balancer.model.tls import Certificate
from pipeline.balancer.model.variants import AnyListenerSettings, AnyLoadBalancerSettings, AnyTargetGroup
from pipeline.balancer.zonal_shift import ZonalShift
from pipeline.base.errors import ConfigError
from pipeline.base.identity_cache import IdentityCache

__all__ = [
    "DECLARED",
    "KINDS",
    "BalancerResource",
    "CertificateResource",
    "EndpointResource",
    "EndpointServiceResource",
    "Id",
    "ListenerResource",
    "LoadBalancerResource",
    "Resources",
    "RuleResource",
    "TargetGroupResource",
    "declared_id",
    "groups_of",
    "named_rules",
    "with_groups",
]


class LoadBalancerResource(BalancerResource):
    """A load balancer, without its listeners. The registry sets `shift`, and a declaration leaves it."""

    kind: ClassVar[str] = "load balancer"
    field: ClassVar[str] = "load_balancers"

    name: Name
    settings: AnyLoadBalancerSettings
    shift: ZonalShift | None = None

    def with_shift(self, shift: ZonalShift | None) -> LoadBalancerResource:
        """Return the load balancer with another shift."""
        return self if shift == self.shift else self.model_copy(update={"shift": shift})

    def keeping(self, shift: ZonalShift | None) -> LoadBalancerResource:
        """Return the load balancer with the shift that it had before, if it still has the zone."""
        return self.with_shift(shift if shift and shift.fits(self.settings) else None)

    def bare(self) -> LoadBalancerResource:
        return super().bare().with_shift(None)

    @property
    def key(self) -> tuple[object, ...]:
        return (self.name,)

    @property
    def label(self) -> str:
        return f"load balancer {self.name} of {self.owner}"


class TargetGroupResource(BalancerResource):
    """A target group, without its targets."""

    kind: ClassVar[str] = "target group"
    field: ClassVar[str] = "target_groups"

    name: Name
    settings: AnyTargetGroup

    @property
    def key(self) -> tuple[object, ...]:
        return (self.name,)

    @property
    def label(self) -> str:
        return f"target group {self.name} of {self.owner}"


class ListenerResource(BalancerResource):
    """A listener of a load balancer. Its default action names target groups by id.

    The registry sets `number`, which distinguishes it from listeners of the same port at other addresses. It is 0 for
    the first one and stays the same when others are removed.
    """

    kind: ClassVar[str] = "listener"
    field: ClassVar[str] = "listeners"

    load_balancer: Id
    settings: AnyListenerSettings
    number: int = 0

    @property
    def is_guest(self) -> bool:
        """True if it adds its rules to another listener."""
        return self.settings.default_action is None

    def with_number(self, number: int) -> ListenerResource:
        """Return the listener with another number."""
        return self if number == self.number else self.model_copy(update={"number": number})

    def bare(self) -> ListenerResource:
        return super().bare().with_number(0)

    @property
    def key(self) -> tuple[object, ...]:
        # `effective_listeners` checks addresses and ports, over all owners.
        return (self.id,)

    @property
    def label(self) -> str:
        if isinstance(self.settings, GatewayListenerSettings):
            return f"listener of a gateway load balancer of {self.owner}"
        return f"listener {self.settings.port} of {self.owner}"

    def requires(self) -> frozenset[str]:
        return frozenset({self.load_balancer, *groups_of(self.settings.default_action)})


class CertificateResource(BalancerResource):
    """A certificate of a listener. The one at position 0 is used if no certificate fits the requested name."""

    kind: ClassVar[str] = "certificate"
    field: ClassVar[str] = "certificates"

    listener: Id
    certificate: Certificate
    position: int

    @property
    def key(self) -> tuple[object, ...]:
        return (self.listener, self.position)

    @property
    def label(self) -> str:
        return f"certificate {self.position} of {self.owner}"

    def requires(self) -> frozenset[str]:
        return frozenset({self.listener})


class RuleResource(BalancerResource):
    """A rule of a listener. Its action names target groups by id."""

    kind: ClassVar[str] = "rule"
    field: ClassVar[str] = "rules"

    listener: Id
    rule: Rule

    @property
    def key(self) -> tuple[object, ...]:
        return (self.listener, self.rule.priority)

    @property
    def label(self) -> str:
        return f"rule {self.rule.priority} of {self.owner}"

    def requires(self) -> frozenset[str]:
        return frozenset({self.listener, *groups_of(self.rule.action)})


def groups_of(action: Action | None) -> frozenset[str]:
    """Return the target groups that an action names."""
    return frozenset(group.target_group for group in action.groups()) if action else frozenset()


def with_groups(action: Action, names: Mapping[str, str]) -> Action:
    """Return an action with its target groups renamed: from name to id, or from id to name."""
    if action.forward is None:
        return action
    groups = tuple(_renamed(group, names) for group in action.forward.target_groups)
    return action.model_copy(update={"forward": action.forward.model_copy(update={"target_groups": groups})})


def _renamed(group: WeightedTargetGroup, names: Mapping[str, str]) -> WeightedTargetGroup:
    changed: dict[str, object] = {"target_group": names[group.target_group]}
    if alternate := group.alternate:
        changed["alternate"] = alternate.model_copy(update={"target_group": names[alternate.target_group]})
    return group.model_copy(update=changed)


# One change needs the names before and after it.
@lru_cache(maxsize=2)
def named_rules(names: frozenset[tuple[str, str]]) -> IdentityCache[RuleResource, Rule]:
    """Return the function from the resource of a rule to the rule as it was declared, with names of target groups.

    `names`: pairs of an id and a name. A resource that stays the same object keeps its rule.
    """
    by_id = dict(names)

    def named(made: RuleResource) -> Rule:
        return made.rule.model_copy(update={"action": with_groups(made.rule.action, by_id)})

    return IdentityCache(named)


class Resources(Model):
    """Resources by kind and id. Frozen: changes return a new object. The resource changed last comes last."""

    load_balancers: dict[str, LoadBalancerResource] = Field({})
    listeners: dict[str, ListenerResource] = Field({})
    certificates: dict[str, CertificateResource] = Field({})
    rules: dict[str, RuleResource] = Field({})
    target_groups: dict[str, TargetGroupResource] = Field({})
    endpoint_services: dict[str, EndpointServiceResource] = Field({})
    endpoints: dict[str, EndpointResource] = Field({})

    def all(self) -> Iterator[BalancerResource]:
        """Yield every resource."""
        for known in self.by_field().values():
            yield from known.values()

    def with_resources(self, *resources: BalancerResource) -> Self:
        """Return these resources with others added or, if the id is known, replaced. They come last. Unchecked."""
        changed = {resource.field: dict(getattr(self, resource.field)) for resource in resources}
        for resource in resources:
            changed[resource.field].pop(resource.id, None)
            changed[resource.field][resource.id] = resource
        return self.model_copy(update=changed)

    def without(self, *ids: str) -> Self:
        """Return the resources without those of `ids`. Unchecked."""
        gone = set(ids)
        changed = {
            field: {id_: resource for id_, resource in known.items() if id_ not in gone}
            for field, known in self.by_field().items()
            if gone & known.keys()
        }
        return self.model_copy(update=changed)

    def group_names(self) -> dict[str, str]:
        """Return the names of the target groups by id."""
        return {id_: group.name for id_, group in self.target_groups.items()}

    def by_field(self) -> dict[str, dict[str, BalancerResource]]:
        """Return the resources of each kind."""
        return {kind.field: getattr(self, kind.field) for kind in KINDS}

    def check_references(self, before: Resources) -> None:
        """Raise `ConfigError` for a resource that refers to a missing one, or whose key is taken.

        `before` are resources without such a fault, so what they have in common is not checked again.
        """
        known, former = ({one.id: one for one in resources.all()} for resources in (self, before))
        changed = [one for id_, one in known.items() if former.get(id_) is not one]
        stay = all(id_ in known and known[id_].owner == one.owner for id_, one in former.items())
        for resource in changed if stay else known.values():
            needed = resource.requires()
            for required in sorted(needed - known.keys()):
                raise ConfigError(f"{resource.label} needs {required}, which does not exist")
            if any(known[required].owner != resource.owner for required in needed):
                raise ConfigError(f"{resource.label} refers to a resource of another owner")
        if not (stay and all(one.id in former and former[one.id].key == one.key for one in changed)):
            _check_keys(known.values())


def _check_keys(resources: Iterable[BalancerResource]) -> None:
    taken: dict[tuple[object, ...], BalancerResource] = {}
    for resource in resources:
        other = taken.setdefault((resource.owner, resource.kind, *resource.key), resource)
        if other is not resource:
            raise ConfigError(f"{resource.label} already exists", hint="change it, or use another name")


KINDS: tuple[type[BalancerResource], ...] = (
    LoadBalancerResource,
    ListenerResource,
    CertificateResource,
    RuleResource,
    TargetGroupResource,
    EndpointServiceResource,
    EndpointResource,
)
