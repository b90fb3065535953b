"""The registry on disk and the data plane, kept in agreement."""

from __future__ import annotations

import errno
import operator
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.balancer.data_plane import DataPlane, Facts, WantedGroup, group_id
from pipeline.balancer.reconciler import reconcile
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from pipeline.balancer.wanted import part_of_group, plane_config
from pipeline.base.errors import BalancerFault
from pipeline.base.files import make_folder
from pipeline.base.lock import short_lock

# As many new targets are added without a look at the other targets of their group.
_MAX_EXTENSION = 20


@dataclass(frozen=True)
class Agreement:
    """The registry, the facts that agree with it (None if something was changed), and whether the plane was started."""

    registry: Registry
    facts: Facts | None = None
    started: bool = False


class Synchronizer:
    """Writes the registry of one directory, and makes the data plane match it.

    `registry` only reads, and `agree` takes the lock itself. Everything else needs it: call it within `locked`. The
    registry is written before the data plane is changed, so the next reconciliation completes what a crash interrupts.
    Only new targets are added to the plane first, closed: see `register`.
    """

    def __init__(self, directory: Path, plane: DataPlane) -> None:
        self._directory = directory
        self._plane = plane
        self._file = RegistryFile(directory / "registry.json", lambda: plane.pid() is not None)
        self._unfinished = directory / "unfinished"
        self._resumed: deque[int] = deque()
        self._ahead: Registry | None = None

    def registry(self) -> Registry:
        """Return the resources of all owners, and their targets."""
        return self._file.read()

    @property
    def is_needed(self) -> bool:
        """False if nothing is declared, and no change was interrupted."""
        return not self.registry().is_empty or self._unfinished.exists()

    @property
    def is_behind(self) -> bool:
        """True if the registry was written, and the data plane has not been made to match it."""
        return self._unfinished.exists()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the balancer's lock. One process at a time can hold it. Changes nothing else.

        An `OSError` within the block becomes a `BalancerFault`.
        """
        try:
            make_folder(self._directory)
            with short_lock(self._directory / "lock"):
                yield
        except OSError as error:
            raise self.fault(error) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the balancer's lock, after continuing stopped processes and updating an outdated registry file."""
        with self.lock():
            self._resume()
            self._file.restore()
            if self._file.is_outdated:
                self._migrate()
            yield

    def fault(self, error: OSError) -> BalancerFault:
        """Return what an error of the disk means for the balancer."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return BalancerFault(f"cannot write to {self._directory}: the disk is full", hint="free some space")
        return BalancerFault(f"the balancer in {self._directory} failed: {error}")

    def take_resumed(self) -> tuple[int, ...]:
        """Return the processes that were continued since the last call."""
        return tuple(self._resumed.popleft() for _ in range(len(self._resumed)))

    def write(self, registry: Registry) -> None:
        """Write the registry. Does nothing if it has not changed."""
        self._file.write(registry)

    def store_and_apply(self, registry: Registry) -> None:
        """Write the registry and apply it. If this is interrupted, the next reconciliation completes it."""
        self.store(registry)
        self.apply(registry)

    def store(self, registry: Registry) -> None:
        """Write the registry. The next reconciliation applies it."""
        self._ahead = None
        # On a full disk, a crash before the next line is completed by the next change of this owner.
        with suppress(OSError):
            self._unfinished.touch()
        self._file.write(registry)

    def store_ahead(self, registry: Registry) -> None:
        """Write a registry of which the data plane lacks only new rules. The next reconciliation applies it."""
        has_only_rules = self._lacks_only_rules
        self.store(registry)
        self._ahead = self.registry() if has_only_rules else None

    @property
    def _lacks_only_rules(self) -> bool:
        """True if the data plane matches the registry, apart from rules that this process has written.

        What another process has written since is another registry, so nothing is known of it.
        """
        return not self.is_behind or self._ahead is self.registry()

    def apply(self, registry: Registry) -> bool:
        """Make the data plane match the registry. Return whether it had to be started."""
        started = not registry.is_empty and self._plane.apply(plane_config(registry))
        if registry.is_empty:
            self._plane.stop()
        self._unfinished.unlink(missing_ok=True)
        return started

    def register(self, registry: Registry, owner: str, group: str) -> None:
        """Add targets to the data plane and write the registry, which has more targets in one group.

        A few targets are added first, closed: a target of the plane that the registry does not list is a leftover, and
        its checks never count.
        """
        id_ = group_id(owner, group)
        before = self.registry().registrations(owner, group)
        new = registry.registrations(owner, group)[len(before) :]
        # Otherwise a target of the group has come back.
        are_unknown = all(map(operator.is_, before, registry.registrations(owner, group)))
        if (
            new
            and are_unknown
            and len(new) <= _MAX_EXTENSION
            and self._extend(part_of_group(registry, owner, group, new))
        ):
            self._file.write(registry)
            self._ahead = self.registry() if self._ahead else None
            return
        # Remove leftovers of an earlier target of this name, whose checks must not count for the new one.
        self.reconcile([id_])
        self._file.write(registry)
        self.reconcile([id_])

    def _extend(self, group: WantedGroup) -> bool:
        """Add targets to the data plane. Return whether it has them."""
        if not self._lacks_only_rules or self._plane.is_cut_off():
            return False
        try:
            return self._plane.extend(group)
        except BalancerFault:
            # The reconciliation revives a plane that does not respond.
            return False

    def agree(self, groups: Collection[str] | None = None) -> Agreement:
        """Reconcile these groups, or all. Takes the lock only if something is to be changed."""
        registry, has_failed = self.registry(), False
        try:
            if facts := self._settled_facts(registry, groups):
                return Agreement(registry, facts)
        except BalancerFault:
            has_failed = True
        with self.locked():
            if has_failed:
                self._revive()
            started = self.reconcile(groups)
            return Agreement(self.registry(), started=started)

    def reconcile(self, groups: Collection[str] | None = None) -> bool:
        """Admit targets of these groups, or of all, that passed a check, and make the data plane match.

        Return whether it had to be started.
        """
        try:
            if self._plane.is_cut_off():
                self._plane.end_if_hung()
            return self._reconcile_once(groups)
        except BalancerFault:
            if not self._revive():
                raise
            return self._reconcile_once(groups)

    def _settled_facts(self, registry: Registry, groups: Collection[str] | None) -> Facts | None:
        """Return the facts of these groups if `reconcile` would change nothing for them, else None."""
        if self._unfinished.exists() or not self._file.is_settled or self._plane.is_cut_off():
            return None
        groups = _ids(registry, groups)
        facts = self._plane.observe(groups)
        result = reconcile(registry, facts)
        is_settled = result.registry is registry and result.is_empty and _carries(facts, groups)
        return facts if is_settled else None

    def _revive(self) -> bool:
        """Continue or end a data plane that did not respond. Return whether it is worth another try."""
        # First: a process that a signal has stopped in the meantime must not be ended.
        resumed = self._resume()
        return self._plane.end_if_hung() or bool(resumed) or self._plane.pid() is None

    def _resume(self) -> tuple[int, ...]:
        found = self._plane.resume()
        self._resumed.extend(found)
        return found

    def _reconcile_once(self, groups: Collection[str] | None) -> bool:
        """Observe, reconcile, write the registry, then change the data plane.

        In this order, the next call completes what a crash interrupts.
        """
        registry = self.registry()
        groups = _ids(registry, groups)
        started = self._unfinished.exists() and self.apply(registry)
        facts = self._plane.observe(groups)
        result = reconcile(registry, facts)
        if result.registry is not registry:
            self._file.write(result.registry)
        # A group is missing if the data plane still runs the declaration from before a crash.
        if result.apply or (not registry.is_empty and not _carries(facts, groups)):
            return self.apply(result.registry) or started
        for wanted in result.steer:
            self._plane.steer(wanted)
        for group, target in result.abort:
            self._plane.abort(group, target)
        return started

    def _migrate(self) -> None:
        """Write the registry in the current format, which the previous version refuses.

        Processes that the previous version left running still read the old file, so they are replaced first. If this
        is interrupted, the next change repeats it. The content stays the same, so nothing is reloaded.
        """
        self._plane.take_over(plane_config(self.registry()))
        self._file.migrate()


def _ids(registry: Registry, groups: Collection[str] | None) -> list[str]:
    """Return which of these groups, or of all, are declared."""
    declared = (group_id(owner, name) for owner, name in registry.groups())
    return [id_ for id_ in declared if groups is None or id_ in groups]


def _carries(facts: Facts, groups: Collection[str]) -> bool:
    return facts.targets.keys() >= set(groups)
