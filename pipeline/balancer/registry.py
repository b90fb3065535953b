"""What is wanted of the balancer, by which owner, and the targets registered: the truth that HAProxy follows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.balancer.effective import SharedListener, shared_listeners
from pipeline.balancer.key_set import KeySet
from pipeline.balancer.model import Declaration, HealthCheck, Model, Name, Target, TargetGroup
from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import not_declared

_NAME = TypeAdapter[str](Name)


class Phase(StrEnum):
    """How far a target has come. Only what is `in_service` may be sent requests."""

    INITIAL = "initial"
    IN_SERVICE = "in_service"
    DRAINING = "draining"


class Registration(Model):
    """A target and its phase.

    `health_check` is the one it was registered under: when the group's check changes in the middle of a
    deployment, the targets of the former release are no longer checked, instead of failing a check that
    was never meant for them. `ramps`: others served already when it came, so it starts slowly.
    """

    target: Target
    health_check: HealthCheck
    phase: Phase = Phase.INITIAL
    ramps: bool = False
    since: datetime

    def moved(self, phase: Phase) -> Registration:
        """It in another phase, since now; itself where it is in that phase already."""
        if phase is self.phase:
            return self
        return self.model_copy(update={"phase": phase, "since": datetime.now(UTC)})


class Owned(Model):
    """One owner's declaration, and its targets by group."""

    declaration: Declaration
    targets: dict[str, tuple[Registration, ...]] = Field({})


def _check_protocols(former: Owned, declaration: Declaration) -> None:
    """As in ELB, these are settled when a target group is made: its targets could not follow all at once."""
    for name, group in declaration.target_groups.items():
        if not former.targets.get(name):
            continue
        known = former.declaration.target_groups[name]
        for key in ("target_type", "protocol", "protocol_version"):
            if getattr(known, key) != getattr(group, key):
                raise ConfigError(
                    f"{key} of target group {name} cannot change from {getattr(known, key)} to {getattr(group, key)} "
                    "while it has targets",
                    hint="pipeline down first, or a target group of another name",
                )


def _check_names(owner: str, declaration: Declaration) -> None:
    """What `pipeline.yaml` is asked before: who declares from Python has not been asked yet."""
    try:
        _NAME.validate_python(owner)
    except ValidationError as error:
        raise ConfigError(
            f"{owner!r} is no name of an owner",
            hint="1 to 32 letters, digits and dashes, with no dash at either end",
        ) from error
    for name, _, listener in declaration.listeners():
        for group in sorted(listener.groups() - declaration.target_groups.keys()):
            what = f"target group {group}, to which port {listener.port} of load balancer {name} of {owner} forwards,"
            raise not_declared(what, declaration.target_groups, group)


class Registry(Model):
    """All owners, and the keys of the issuers that they trust. Frozen: every change makes a new one.

    `written_by` is the version of Penstock that wrote it to disk.
    """

    written_by: str = ""
    owners: dict[str, Owned] = Field({})
    key_sets: dict[str, KeySet] = Field({})

    def declare(self, owner: str, declaration: Declaration) -> Registry:
        """This registry with `owner`'s declaration replaced; its targets stay. Raises `ConfigError` on a clash."""
        _check_names(owner, declaration)
        former = self.owners.get(owner)
        if former:
            _check_protocols(former, declaration)
        kept = {g: t for g, t in former.targets.items() if g in declaration.target_groups} if former else {}
        others = self.withdraw(owner).owners
        declared = self._with({**others, owner: Owned(declaration=declaration, targets=kept)})
        declared.listeners()
        return declared

    def declares(self, owner: str, declaration: Declaration) -> bool:
        """Whether that is what `owner` has declared."""
        return owner in self.owners and self.owners[owner].declaration == declaration

    def group(self, owner: str, name: str) -> TargetGroup:
        """A target group. Raises `ConfigError`, which says what there is, when it was not declared."""
        if owner not in self.owners:
            raise not_declared(f"owner {owner}", self.owners, owner)
        groups = self.owners[owner].declaration.target_groups
        if name not in groups:
            raise not_declared(f"target group {name} of {owner}", groups, name)
        return groups[name]

    def has_functions(self) -> bool:
        """Whether some target group's targets are functions."""
        return any(
            group.is_lambda for owned in self.owners.values() for group in owned.declaration.target_groups.values()
        )

    def issuers(self) -> set[str]:
        """Where the keys come from of the issuers that rules trust."""
        return {
            action.jwt_validation.jwks
            for shared in self.listeners()
            for action in shared.actions()
            if action.jwt_validation
        }

    def _with(self, owners: dict[str, Owned]) -> Registry:
        return self.model_copy(update={"owners": owners})

    def listeners(self) -> list[SharedListener]:
        """Every listener, with the rules of all owners. Raises `ConfigError` where owners clash."""
        return shared_listeners({name: owned.declaration for name, owned in self.owners.items()})

    def withdraw(self, owner: str) -> Registry:
        """This registry without `owner`."""
        return self._with({name: owned for name, owned in self.owners.items() if name != owner})

    def registrations(self, owner: str, group: str) -> tuple[Registration, ...]:
        """The targets of a group; raises `ConfigError` when the group was not declared."""
        self.group(owner, group)
        return self.owners[owner].targets.get(group, ())

    def with_registrations(self, owner: str, group: str, targets: tuple[Registration, ...]) -> Registry:
        """This registry with a group's targets replaced."""
        owned = self.owners[owner]
        changed = owned.model_copy(update={"targets": {**owned.targets, group: targets}})
        return self._with({**self.owners, owner: changed})

    def register(self, owner: str, group: str, targets: Iterable[Target], *, ramps: bool = False) -> Registry:
        """This registry with targets added as initial; those that are there already stay as they are."""
        known = {r.target.id: r for r in self.registrations(owner, group)}
        check = self.group(owner, group).health_check
        for target in targets:
            if target.id in known and known[target.id].target == target and known[target.id].phase != Phase.DRAINING:
                continue
            known.pop(target.id, None)
            known[target.id] = Registration(target=target, health_check=check, ramps=ramps, since=datetime.now(UTC))
        return self.with_registrations(owner, group, tuple(known.values()))

    def move(self, owner: str, group: str, target_id: str, phase: Phase) -> Registry:
        """This registry with one target in another phase; unchanged when it is in that phase already."""
        moved = (r.moved(phase) if r.target.id == target_id else r for r in self.registrations(owner, group))
        return self.with_registrations(owner, group, tuple(moved))
