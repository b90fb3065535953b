"""The registry: all resources and targets of the balancer. The data plane follows it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Literal, Self

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.balancer.challenges import check_challenges
from pipeline.balancer.compile import compile_declaration, decompile
from pipeline.balancer.divided_groups import check_divided
from pipeline.balancer.effective import effective_listeners
from pipeline.balancer.endpoint_connections import changed_connections, check_endpoints, decided
from pipeline.balancer.endpoint_resources import EndpointState
from pipeline.balancer.key_set import KeySet
from pipeline.balancer.load_balancer_targets import load_balancer_targets, without_target
from pipeline.balancer.model import Action, Declaration, Name, Target, TargetGroup
from pipeline.balancer.pools import without_lost_zones
from pipeline.balancer.resources import (
    DECLARED,
    BalancerResource,
    LoadBalancerResource,
    Resources,
    TargetGroupResource,
    declared_id,
    groups_of,
)
from pipeline.balancer.revisions import next_revisions
from pipeline.balancer.targets import Registration
from pipeline.balancer.zonal_shift import ZonalShift
from pipeline.base.clock import SYSTEM, Stamp
from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import not_declared

VERSION: Literal[2] = 2
_NAME = TypeAdapter[str](Name)
# As in ELB, these cannot change while a group has targets, because the targets cannot all change at the same time.
_FIXED_KEYS = ("target_type", "protocol", "protocol_version")


class Registry(Resources):
    """The resources of all owners, their targets, and the keys of trusted issuers. Frozen: changes return a new one.

    `written_by` is the version of Penstock that wrote it to disk. `targets` are by the id of their group.
    """

    version: Literal[2] = 2
    written_by: str = ""
    targets: dict[str, tuple[Registration, ...]] = Field({})
    key_sets: dict[str, KeySet] = Field({})

    # Resources

    def put(self, *resources: BalancerResource) -> Registry:
        """Return this registry with resources added or changed. A resource that is equal keeps its revision.

        Raises `ConfigError` for a resource that refers to an unknown one, clashes with another, has an old revision, or
        changes a field that is fixed.
        """
        changed = next_revisions(self, self, resources)
        known = {resource.id: resource for resource in self.all()}
        changed = [resource for resource in changed if resource is not known.get(resource.id)]
        return self._validated(self.with_resources(*changed)) if changed else self

    def drop(self, *ids: str) -> Registry:
        """Return this registry without resources, and without the targets of removed groups. Raises as `put`."""
        return self._validated(self.without(*ids))

    def replace(self, owner: str, made_by: str, resources: Resources) -> Registry:
        """Return this registry with everything that `made_by` made for `owner` replaced. Raises as `put`."""
        own = [r.id for r in self.all() if r.owner == owner and r.made_by == made_by]
        others = self.without(*own)
        # A clash is blamed on the last resource.
        return self._validated(others.with_resources(*next_revisions(self, others, resources.all())))

    def _validated(self, changed: Self) -> Registry:
        """Return a changed registry without the targets of removed groups. Raises `ConfigError` if it is invalid.

        A target whose zone is not enabled any more is from now on in none. It would get no traffic otherwise, and a
        deployment replaces it only later.
        """
        changed.check_references(self)
        for id_, targets in self.targets.items():
            if targets and id_ in changed.target_groups:
                _check_protocols(self.target_groups[id_], changed.target_groups[id_])
        kept = {id_: targets for id_, targets in self.targets.items() if id_ in changed.target_groups}
        changed = changed.model_copy(update={"targets": kept})
        check_challenges(effective_listeners(changed))
        check_divided(changed)
        check_endpoints(changed)
        changed = changed.with_resources(*changed_connections(changed, SYSTEM.now()))
        freed = {id_: without_lost_zones(known, self, changed, id_) for id_, known in kept.items()}
        return _with_load_balancer_targets(changed.model_copy(update={"targets": freed}))

    def issuers(self) -> set[str]:
        """Return the sources of the keys of all issuers that rules trust."""
        return {
            action.jwt_validation.jwks
            for effective in effective_listeners(self)
            for action in effective.actions()
            if action.jwt_validation
        }

    # Owners

    @property
    def is_empty(self) -> bool:
        """True if nothing is declared."""
        return not any(self.by_field().values())

    @property
    def owners(self) -> tuple[str, ...]:
        """The owners of resources, each once."""
        return tuple(dict.fromkeys(resource.owner for resource in self.all()))

    def declare(self, owner: str, declaration: Declaration) -> Registry:
        """Return this registry with `owner`'s declaration replaced. Its targets stay. Raises `ConfigError` on a clash.

        Returns the same object if nothing changes.
        """
        _check_names(owner, declaration)
        compiled = compile_declaration(owner, declaration, self)
        return self if self._holds(owner, compiled) else self.replace(owner, DECLARED, compiled)

    def declares(self, owner: str, declaration: Declaration) -> bool:
        """Return whether `owner` has declared exactly this."""
        return self._holds(owner, compile_declaration(owner, declaration, self))

    def _holds(self, owner: str, compiled: Resources) -> bool:
        own = {r.id: r for r in self.all() if r.owner == owner and r.made_by == DECLARED}
        wanted = {r.id: r for r in compiled.all()}
        return own.keys() == wanted.keys() and all(own[id_] is resource for id_, resource in wanted.items())

    def declaration(self, owner: str) -> Declaration | None:
        """Return the declaration of `owner`, with listeners by port and rules by priority, or None."""
        return decompile(owner, self)

    def withdraw(self, owner: str) -> Registry:
        """Return this registry without what `owner` declared, and without what another maker made that needs it.

        A target group whose target was one of its load balancers has no target any more.
        """
        gone = {resource.id for resource in self.all() if resource.owner == owner and resource.made_by == DECLARED}
        while users := {one.id for one in self.all() if one.id not in gone and one.requires() & gone}:
            gone |= users
        left = self.without(*gone)
        return self._validated(left.with_resources(*without_target(left, owner))) if gone else self

    # Zones

    def shift(self, owner: str, name: str, shift: ZonalShift | None) -> Registry:
        """Return this registry with a zone of a load balancer out of service, or with none.

        Raises `ConfigError` for an unknown load balancer or zone, and if zonal shifts are disabled for it.
        """
        balancer = self._balancer(owner, name)
        if shift is not None:
            shift.check(balancer.settings, balancer.label)
        changed = balancer.with_shift(shift)
        return self if changed is balancer else self.with_resources(changed)

    def without_ended_shifts(self, at: Stamp) -> Registry:
        """Return this registry without the zonal shifts that are over. The same object if all go on."""
        over = [found for found in self.load_balancers.values() if found.shift and found.shift.is_over(at)]
        return self.with_resources(*(found.with_shift(None) for found in over)) if over else self

    def _balancer(self, owner: str, name: str) -> LoadBalancerResource:
        own = {found.name: found for found in self.load_balancers.values() if found.owner == owner}
        if owner not in self.owners:
            raise not_declared(f"owner {owner}", self.owners, owner)
        if name not in own:
            raise not_declared(f"load balancer {name} of {owner}", own, name)
        return own[name]

    # Endpoints

    def decide(self, endpoint: str, state: EndpointState) -> Registry:
        """Return this registry with the decision of a service's owner about an endpoint, by its resource's id.

        The same object if it is decided already. Raises `ConfigError` for an endpoint that has no service.
        """
        changed = decided(self, endpoint, state, SYSTEM.now())
        return self if changed is self.endpoints[endpoint] else self.with_resources(changed)

    # Target groups

    def groups(self) -> Iterator[tuple[str, str]]:
        """Yield the owner and the name of every target group."""
        return ((group.owner, group.name) for group in self.target_groups.values())

    def has_group(self, owner: str, name: str) -> bool:
        """Return whether the target group exists."""
        return self._find(owner, name) is not None

    def group(self, owner: str, name: str) -> TargetGroup:
        """Return a target group. Raises `ConfigError`, which lists the declared ones, for an unknown group."""
        return self._group(owner, name).settings

    def uses(self, owner: str, name: str) -> bool:
        """Return whether some listener may forward to a target group."""
        id_ = self._group(owner, name).id
        return any(id_ in groups_of(action) for action in self._actions())

    def groups_with(self, prefix: str) -> list[tuple[str, str]]:
        """Return owner and name of each group that has targets whose names begin with `prefix`."""
        filled = (id_ for id_, known in self.targets.items() if any(r.target.id.startswith(prefix) for r in known))
        return [(self.target_groups[id_].owner, self.target_groups[id_].name) for id_ in filled]

    def is_used(self, owner: str, name: str) -> bool:
        """Return whether some listener may forward to a target group. False if it is gone."""
        return self.has_group(owner, name) and self.uses(owner, name)

    def gets_traffic(self, owner: str, name: str) -> bool:
        """Return whether some listener forwards to a target group, with a weight above 0. False if it is gone."""
        found = self._find(owner, name)
        return found is not None and any(
            group.target_group == found.id and group.weight
            for action in self._actions()
            if action
            for group in action.groups()
        )

    def _actions(self) -> Iterator[Action | None]:
        yield from (listener.settings.default_action for listener in self.listeners.values())
        yield from (made.rule.action for made in self.rules.values())

    def _find(self, owner: str, name: str) -> TargetGroupResource | None:
        likely = self.target_groups.get(declared_id(owner, TargetGroupResource.kind, name))
        if likely and (likely.owner, likely.name) == (owner, name):
            return likely
        own = (group for group in self.target_groups.values() if (group.owner, group.name) == (owner, name))
        return next(own, None)

    def _group(self, owner: str, name: str) -> TargetGroupResource:
        if found := self._find(owner, name):
            return found
        if owner not in self.owners:
            raise not_declared(f"owner {owner}", self.owners, owner)
        known = [group.name for group in self.target_groups.values() if group.owner == owner]
        raise not_declared(f"target group {name} of {owner}", known, name)

    # Targets

    def registrations(self, owner: str, group: str) -> tuple[Registration, ...]:
        """Return the targets of a group. Raises `ConfigError` for an unknown group."""
        return self.targets.get(self._group(owner, group).id, ())

    def with_registrations(self, owner: str, group: str, targets: tuple[Registration, ...]) -> Registry:
        """Return this registry with a group's targets replaced."""
        return self.model_copy(update={"targets": {**self.targets, self._group(owner, group).id: targets}})

    def register(self, owner: str, group: str, targets: Iterable[Target], *, ramps: bool = False) -> Registry:
        """Return this registry with targets added as initial. Targets that are already registered stay unchanged.

        Raises `ConfigError` for a group whose target is a load balancer.
        """
        if self.group(owner, group).is_alb:
            raise ConfigError(f"target group {group} of {owner} has a load balancer as its target, and no others")
        known = {r.target.id: r for r in self.registrations(owner, group)}
        check, now = self.group(owner, group).health_check, SYSTEM.now()
        for target in targets:
            if target.id in known and known[target.id].target == target and known[target.id].wanted == "in":
                continue
            known.pop(target.id, None)
            known[target.id] = Registration(target=target, check=check, ramps=ramps, since=now)
        return self.with_registrations(owner, group, tuple(known.values()))

    def deregister(self, owner: str, group: str, *target_ids: str) -> Registry:
        """Return this registry with targets draining. Unchanged if all are draining already or unknown."""
        now = SYSTEM.now()
        return self._with_changed(owner, group, target_ids, lambda known: known.leaving(now))

    def remove(self, owner: str, group: str, *target_ids: str) -> Registry:
        """Return this registry without targets. Unchanged if all are unknown."""
        known = self.registrations(owner, group)
        kept = tuple(registration for registration in known if registration.target.id not in target_ids)
        return self if len(kept) == len(known) else self.with_registrations(owner, group, kept)

    def with_admitted(self, owner: str, group: str, target_ids: Collection[str], admitted: bool, at: Stamp) -> Registry:
        """Return this registry with targets admitted or not. Only the reconciler calls it."""
        return self._with_changed(owner, group, target_ids, lambda known: known.with_admitted(admitted, at))

    def _with_changed(
        self, owner: str, group: str, target_ids: Collection[str], change: Callable[[Registration], Registration]
    ) -> Registry:
        known, ids = self.registrations(owner, group), frozenset(target_ids)
        changed = tuple(change(one) if one.target.id in ids else one for one in known)
        is_same = all(map(operator.is_, changed, known))
        return self if is_same else self.with_registrations(owner, group, changed)


def _with_load_balancer_targets(registry: Registry) -> Registry:
    """Return a registry with the targets of groups whose target is a load balancer.

    They are admitted at once, because each is the only target of its group, which would fail open anyway.
    """
    targets = load_balancer_targets(registry)
    gone = {id_ for id_, group in registry.target_groups.items() if group.settings.is_alb} - targets.keys()
    found = {id_: known for id_, known in registry.targets.items() if id_ not in gone}
    for id_, target in targets.items():
        check, known = registry.target_groups[id_].settings.health_check, found.get(id_, ())
        if [(one.target, one.check) for one in known] != [(target, check)]:
            found[id_] = (Registration(target=target, check=check, admitted=True, since=SYSTEM.now()),)
    return registry.model_copy(update={"targets": found})


def _check_protocols(known: TargetGroupResource, wanted: TargetGroupResource) -> None:
    for key in _FIXED_KEYS:
        was, becomes = getattr(known.settings, key, None), getattr(wanted.settings, key, None)
        if was != becomes:
            raise ConfigError(
                f"{key} of target group {wanted.name} cannot change from {was} to {becomes} while it has targets",
                hint="run `pipeline down` first, or use another name for the target group",
            )


def _check_names(owner: str, declaration: Declaration) -> None:
    """Check the names in a declaration from Python. Those in `pipeline.yaml` are already checked."""
    try:
        _NAME.validate_python(owner)
    except ValidationError as error:
        raise ConfigError(
            f"owner must be 1 to 32 letters, digits and dashes, with no dash at either end, got {owner!r}"
        ) from error
    for name, _, listener in declaration.listeners():
        for group in sorted(listener.groups() - declaration.target_groups.keys()):
            place = f"port {listener.port} of " if listener.port else ""
            what = f"target group {group}, to which {place}load balancer {name} of {owner} forwards,"
            raise not_declared(what, declaration.target_groups, group)
    for name, service in declaration.endpoint_services.items():
        for balancer in (each for each in service.load_balancers if each not in declaration.load_balancers):
            what = f"load balancer {balancer}, which endpoint service {name} of {owner} offers,"
            raise not_declared(what, declaration.load_balancers, balancer)
