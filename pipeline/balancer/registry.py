"""What is wanted of the balancer, by which owner, and the targets registered: the truth that HAProxy follows."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pydantic import Field, ValidationError

from pipeline.balancer.model import Declaration, HealthCheck, Resource, Target
from pipeline.errors import BalancerFault, ConfigError
from pipeline.files import write_atomically


class Phase(StrEnum):
    """How far a target has come. Only what is `in_service` may be sent requests."""

    INITIAL = "initial"
    IN_SERVICE = "in_service"
    DRAINING = "draining"


class Registration(Resource):
    """A target and its phase.

    `health_check` is the one it was registered under: when the group's check changes in the middle of a
    deployment, the targets of the former release are no longer checked, instead of failing a check that
    was never meant for them.
    """

    target: Target
    health_check: HealthCheck
    phase: Phase = Phase.INITIAL
    since: datetime


class Owned(Resource):
    """One owner's declaration, and its targets by group."""

    declaration: Declaration
    targets: dict[str, tuple[Registration, ...]] = Field({})


class Registry(Resource):
    """All owners. Frozen: every change makes a new one."""

    owners: dict[str, Owned] = Field({})

    def declare(self, owner: str, declaration: Declaration) -> Registry:
        """This registry with `owner`'s declaration replaced; its targets stay. Raises `ConfigError` on a clash."""
        self._refuse_clashes(owner, declaration)
        former = self.owners.get(owner)
        kept = {g: t for g, t in former.targets.items() if g in declaration.target_groups} if former else {}
        return Registry(owners={**self.owners, owner: Owned(declaration=declaration, targets=kept)})

    def withdraw(self, owner: str) -> Registry:
        """This registry without `owner`."""
        return Registry(owners={name: owned for name, owned in self.owners.items() if name != owner})

    def registrations(self, owner: str, group: str) -> tuple[Registration, ...]:
        """The targets of a group; raises `BalancerFault` when the group was not declared."""
        owned = self.owners.get(owner)
        if owned is None or group not in owned.declaration.target_groups:
            raise BalancerFault(f"target group {group} of {owner} is not declared")
        return owned.targets.get(group, ())

    def with_registrations(self, owner: str, group: str, targets: tuple[Registration, ...]) -> Registry:
        """This registry with a group's targets replaced."""
        owned = self.owners[owner]
        changed = owned.model_copy(update={"targets": {**owned.targets, group: targets}})
        return Registry(owners={**self.owners, owner: changed})

    def register(self, owner: str, group: str, target: Target) -> Registry:
        """This registry with `target` added as initial; unchanged when it is there already."""
        known = self.registrations(owner, group)
        if any(r.target == target and r.phase != Phase.DRAINING for r in known):
            return self
        check = self.owners[owner].declaration.target_groups[group].health_check
        others = tuple(r for r in known if r.target.id != target.id)
        fresh = Registration(target=target, health_check=check, since=datetime.now(UTC))
        return self.with_registrations(owner, group, (*others, fresh))

    def move(self, owner: str, group: str, target_id: str, phase: Phase) -> Registry:
        """This registry with one target in another phase; unchanged when it is in that phase already."""
        return self.with_registrations(
            owner,
            group,
            tuple(
                r.model_copy(update={"phase": phase, "since": datetime.now(UTC)})
                if r.target.id == target_id and r.phase != phase
                else r
                for r in self.registrations(owner, group)
            ),
        )

    def _refuse_clashes(self, owner: str, declaration: Declaration) -> None:
        taken = {
            listener.port: f"load balancer {name} of {other}"
            for other, owned in self.owners.items()
            if other != owner
            for name, balancer in owned.declaration.load_balancers.items()
            for listener in balancer.listeners
        }
        for name, balancer in declaration.load_balancers.items():
            for listener in balancer.listeners:
                if listener.port in taken:
                    raise ConfigError(
                        f"port {listener.port} of load balancer {name} of {owner} is taken by {taken[listener.port]}",
                        hint="give one of the two listeners another port",
                    )


def read_registry(path: Path) -> Registry:
    """The registry kept at `path`; empty when there is none. A damaged file is refused, never taken as empty."""
    try:
        return Registry.model_validate_json(path.read_text())
    except FileNotFoundError:
        return Registry()
    except (ValidationError, UnicodeDecodeError) as error:
        raise BalancerFault(
            f"{path} is damaged: {error}",
            hint="put a good copy back; without one, move it away: each pipeline is then down until it is run again",
        ) from error


def write_registry(path: Path, registry: Registry) -> None:
    """Keep `registry` at `path`."""
    try:
        write_atomically(path, registry.model_dump_json(indent=1))
    except OSError as error:
        full = " (the disk is full)" if error.errno == errno.ENOSPC else ""
        raise BalancerFault(f"cannot write {path}: {error.strerror}{full}") from error
