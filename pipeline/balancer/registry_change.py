"""A change of the registry as data: what one line of the registry's file says, and how targets are stored. Pure."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, Self, TypeVar

from pydantic import Field

from pipeline.balancer.key_set import KeySet
from pipeline.balancer.model import HealthCheck, Model, Target
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import Id, Resources
from pipeline.balancer.targets import Registration
from pipeline.base.schema import StoredStamp

_T = TypeVar("_T")


class RegisteredTargets(Model):
    """Targets whose registrations have everything else in common, as those of one call have."""

    check: HealthCheck
    wanted: Literal["in", "out"]
    admitted: bool
    ramps: bool
    since: StoredStamp
    targets: tuple[Target, ...]

    @classmethod
    def joined(cls, registrations: Iterable[Registration]) -> tuple[RegisteredTargets, ...]:
        """Return registrations in their order, with neighbours joined."""
        runs = groupby(registrations, lambda r: (id(r.check), r.wanted, r.admitted, r.ramps, r.since))
        return tuple(cls._of([*run]) for _, run in runs)

    @classmethod
    def _of(cls, run: Sequence[Registration]) -> RegisteredTargets:
        one = run[0]
        return cls.model_construct(
            check=one.check,
            wanted=one.wanted,
            admitted=one.admitted,
            ramps=one.ramps,
            since=one.since,
            targets=tuple(registration.target for registration in run),
        )

    def registrations(self) -> Iterator[Registration]:
        """Yield the registration of each target."""
        common = {name: getattr(self, name) for name in ("check", "wanted", "admitted", "ramps", "since")}
        # All parts were validated with this model.
        return (Registration.model_construct(target=target, **common) for target in self.targets)


class ChangedTargets(Model):
    """Targets by id, and what has become of their registrations."""

    wanted: Literal["in", "out"]
    admitted: bool
    since: StoredStamp
    ids: tuple[str, ...]

    def applied_to(self, known: Registration) -> Registration:
        """Return a registration after the change."""
        update = {"wanted": self.wanted, "admitted": self.admitted, "since": self.since}
        return known.model_copy(update=update)


class GroupChange(Model):
    """A change of a group's targets. Those that are added come last, also if the group had one of their name."""

    removed: tuple[str, ...] = ()
    changed: tuple[ChangedTargets, ...] = ()
    added: tuple[RegisteredTargets, ...] = ()

    @classmethod
    def between(cls, before: Sequence[Registration], after: Sequence[Registration]) -> Self:
        """Return the change that makes `after` of `before`."""
        if len(after) > len(before) and all(map(operator.is_, before, after)):
            return cls(added=RegisteredTargets.joined(after[len(before) :]))
        known = {registration.target.id: registration for registration in before}
        stays = [r for r in after if (old := known.get(r.target.id)) is not None and _is_same(old, r)]
        ids = dict.fromkeys(registration.target.id for registration in stays)
        if [*after[: len(stays)]] != stays or [id_ for id_ in known if id_ in ids] != [*ids]:
            # The order has changed.
            ids, stays = {}, []
        removed = tuple(id_ for id_ in known if id_ not in ids)
        changed = _changed(new for new in stays if new is not known[new.target.id])
        return cls(removed=removed, changed=tuple(changed), added=RegisteredTargets.joined(after[len(stays) :]))

    def applied_to(self, before: Iterable[Registration]) -> tuple[Registration, ...]:
        """Return these registrations after the change."""
        gone = set(self.removed)
        changed = {id_: one for one in self.changed for id_ in one.ids}
        stays = (registration for registration in before if registration.target.id not in gone)
        return (
            *(changed[r.target.id].applied_to(r) if r.target.id in changed else r for r in stays),
            *(registration for run in self.added for registration in run.registrations()),
        )


class RegistryChange(Resources):
    """The resources that were added or changed, those that were removed, and the changes of targets by group.

    `key_sets` is None if they did not change.
    """

    removed: tuple[Id, ...] = ()
    targets: dict[Id, GroupChange] = Field({})
    key_sets: dict[str, KeySet] | None = None

    @classmethod
    def between(cls, before: Registry, after: Registry) -> RegistryChange | None:
        """Return the change that makes `after` of `before`, or None if the order of the resources has changed."""
        kinds = [(field, old, after.by_field()[field]) for field, old in before.by_field().items()]
        removed = tuple(id_ for _, old, new in kinds for id_ in old if id_ not in new)
        targets = {id_: old for id_, old in before.targets.items() if id_ not in removed}
        if not all(_keeps_order(old, new) for _, old, new in kinds) or targets.keys() - after.targets.keys():
            return None
        found: dict[str, Any] = {field: new for field, old, all_ in kinds if (new := _replaced(old, all_))}
        if before.key_sets != after.key_sets:
            found["key_sets"] = after.key_sets
        if changed := _replaced(targets, after.targets):
            found["targets"] = {id_: GroupChange.between(targets.get(id_, ()), new) for id_, new in changed.items()}
        if removed:
            found["removed"] = removed
        return cls.model_construct(**found)

    def applied_to(self, before: Registry) -> Registry:
        """Return the registry after the change."""
        gone = set(self.removed)
        kinds = {
            field: {id_: known for id_, known in old.items() if id_ not in gone} | self.by_field()[field]
            for field, old in before.by_field().items()
            if self.by_field()[field] or gone & old.keys()
        }
        targets = {id_: known for id_, known in before.targets.items() if id_ not in gone}
        targets |= {id_: change.applied_to(targets.get(id_, ())) for id_, change in self.targets.items()}
        key_sets = before.key_sets if self.key_sets is None else self.key_sets
        return before.model_copy(update={**kinds, "targets": targets, "key_sets": key_sets})


def _is_same(old: Registration, new: Registration) -> bool:
    """Return whether a registration differs from the former one only in its phase."""
    return old is new or (old.target is new.target and old.check is new.check and old.ramps == new.ramps)


def _changed(registrations: Iterable[Registration]) -> Iterator[ChangedTargets]:
    for (wanted, admitted, since), run in groupby(registrations, lambda r: (r.wanted, r.admitted, r.since)):
        ids = tuple(registration.target.id for registration in run)
        yield ChangedTargets(wanted=wanted, admitted=admitted, since=since, ids=ids)


def _replaced(old: Mapping[str, _T], new: Mapping[str, _T]) -> dict[str, _T]:
    return {id_: one for id_, one in new.items() if old.get(id_) is not one}


def _keeps_order(old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    """Return whether `new` has what is left of `old` in the same order, and then what is new."""
    left = [id_ for id_ in old if id_ in new]
    return [*new][: len(left)] == left
