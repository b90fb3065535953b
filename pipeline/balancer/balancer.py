"""The balancer: declarations, targets and the data plane that applies them. Usable without the runner.

The registry on disk is the source of truth. Methods that change something first make the data plane match it. So the
next call of `reconcile` completes a change that a crash interrupted. Methods that read change nothing.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pipeline.balancer.access import AccessLog
from pipeline.balancer.addresses import check_ports_free
from pipeline.balancer.data_plane import DataPlane, Facts, TargetFact, group_id
from pipeline.balancer.health import target_health
from pipeline.balancer.jwks import read_keys, with_keys
from pipeline.balancer.key_set import KeySet
from pipeline.balancer.model import Declaration, Target, TargetHealth, TargetState
from pipeline.balancer.reconciler import reconcile
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from pipeline.balancer.resources import DECLARED
from pipeline.balancer.waiting import WaitingListener, waiting_listeners
from pipeline.balancer.wanted import plane_config
from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.base.files import make_folder
from pipeline.base.lock import short_lock

_POLL_INTERVAL = 0.05
# Reads of a target's health, and seconds between them, if the registry has changed and the data plane has not yet.
_MAX_READS, _READ_PAUSE = 6, 0.002


class Balancer:
    """The load balancers and target groups of every owner on this machine, kept in one directory.

    Safe to use from any thread and any process. `registry`, `declaration`, `declares`, `target_health`, `access_log`,
    `waiting_listeners`, `waiting_after`, `check_deletion_protection`, `stopped` and `pid` only read: they take no lock,
    write nothing and start nothing. The others hold a lock, so one at a time runs over all processes. Raises
    `BalancerFault` if the data plane fails and `ConfigError` if owners clash.
    """

    def __init__(self, directory: Path, plane: DataPlane) -> None:
        self.directory = directory
        self._file = RegistryFile(directory / "registry.json", lambda: plane.pid() is not None)
        self._unfinished = directory / "unfinished"
        self._plane = plane
        self._resumed: tuple[int, ...] = ()

    # Reads

    def access_log(self) -> AccessLog:
        """Return a new reader of the access log, which starts at the oldest record."""
        return self._plane.access_log()

    def registry(self) -> Registry:
        """Return the resources of all owners, and their targets."""
        return self._file.read()

    def declaration(self, owner: str) -> Declaration | None:
        """Return the declaration of `owner`, with listeners by port and rules by priority, or None."""
        return self.registry().declaration(owner)

    def declares(self, owner: str, declaration: Declaration) -> bool:
        """Return whether `owner` has declared exactly this."""
        return self.registry().declares(owner, declaration)

    def target_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        """Return the health of each target of a group now, in ELB's terms.

        A group that is not declared has no targets. If the data plane does not run, targets are unhealthy with the
        reason `Elb.InternalError`. Only `reconcile` admits targets; this does not.
        """
        for _ in range(_MAX_READS):
            registry = self.registry()
            if not registry.has_group(owner, group):
                return ()
            known = self._plane.observe([group_id(owner, group)]).targets.get(group_id(owner, group))
            if known is None or not _is_mid_change(registry, owner, group, known):
                break
            # Another process has written the registry and not yet changed the data plane.
            time.sleep(_READ_PAUSE)
        return _health(registry, owner, group, known)

    def waiting_listeners(self, owner: str) -> list[WaitingListener]:
        """Return the listeners of `owner` whose rules receive no requests, because no pipeline owns their port."""
        return [waiting for waiting in waiting_listeners(self.registry()) if waiting.owner == owner]

    def waiting_after(self, owner: str, declaration: Declaration | None) -> list[WaitingListener]:
        """Return what would receive no requests after a change: listeners of `owner`, and those that it stops serving.

        None is the withdrawal of everything. Raises `ConfigError` if the change is not possible.
        """
        registry = self.registry()
        after = registry.declare(owner, declaration) if declaration else registry.withdraw(owner)
        before = waiting_listeners(registry)
        return [one for one in waiting_listeners(after) if one.owner == owner or one not in before]

    def check_deletion_protection(self, owner: str, declaration: Declaration | None = None) -> None:
        """Raise `ConfigError` if a protected load balancer of `owner` is not in `declaration`."""
        kept = declaration.load_balancers if declaration else {}
        for balancer in self.registry().load_balancers.values():
            stays = balancer.name in kept or (declaration is not None and balancer.made_by != DECLARED)
            if balancer.owner == owner and balancer.settings.attributes.deletion_protection and not stays:
                raise ConfigError(
                    f"load balancer {balancer.name} of {owner} is protected against deletion",
                    hint="set its attribute deletion_protection.enabled to false and run the pipeline first",
                )

    def pid(self) -> int | None:
        """Return the process that exits when the data plane does, or None if it does not run."""
        return self._plane.pid()

    def stopped(self) -> tuple[int, ...]:
        """Return the processes of the data plane that a signal has stopped. Nothing is served until they continue."""
        return self._plane.stopped()

    # The data plane

    def resume(self) -> tuple[int, ...]:
        """Continue the processes of the data plane that a signal has stopped.

        Takes no lock. Every call that holds the lock does this first. Returns the processes that this object has
        continued since the last call.
        """
        found, self._resumed = (*self._resumed, *self._plane.resume()), ()
        return found

    def reconcile(self, owner: str | None = None, group: str | None = None) -> bool:
        """Admit targets that have passed a check, and make the data plane match. Return whether it was started.

        With `owner` and `group`, only that group is reconciled, which costs less. Call it repeatedly while targets
        become healthy, because nothing else admits them. Does nothing for a group that is not declared.
        """
        registry = self.registry()
        if registry.is_empty and not self._unfinished.exists():
            return False
        with self._locked():
            registry = self.registry()
            if owner is None or group is None:
                return self._reconcile(registry, _group_ids(registry)).started
            return registry.has_group(owner, group) and self._reconcile(registry, [group_id(owner, group)]).started

    def reconciled_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        """Reconcile a group, and return the health of its targets afterwards.

        Does what `reconcile` and `target_health` do. It observes the data plane only once if nothing is to be changed.
        """
        with self._locked():
            registry = self.registry()
            if not registry.has_group(owner, group):
                return ()
            done = self._reconcile(registry, [group_id(owner, group)])
        if done.facts is None:
            return self.target_health(owner, group)
        return _health(registry, owner, group, done.facts.targets.get(group_id(owner, group)))

    def wait_healthy(self, owner: str, group: str, timeout: timedelta) -> None:
        """Reconcile a group until all of its targets are healthy or draining.

        Raises `BalancerFault` after `timeout`, with the unhealthy targets and their reasons.
        """
        deadline = time.monotonic() + timeout.total_seconds()
        while True:
            found = self.reconciled_health(owner, group)
            missing = [h for h in found if h.state not in (TargetState.HEALTHY, TargetState.DRAINING)]
            if not missing:
                return
            if time.monotonic() >= deadline:
                reasons = "; ".join(f"{h.target.id} is {h.state}: {h.description}" for h in missing)
                raise BalancerFault(f"not healthy within {timeout.total_seconds():g} s: {reasons}")
            time.sleep(_POLL_INTERVAL)

    def ensure_running(self) -> bool:
        """Make the data plane run everything that is declared. Return whether it had to be started.

        Does what `reconcile` does. Also reloads changed certificates and keys, caps logs, and removes leftovers of a
        crash. Call it about once a minute.
        """
        keys = read_keys(self.registry())
        with self._locked():
            self._plane.maintain()
            registry = with_keys(self.registry(), keys)
            self._file.write(registry)
            # First: this replaces a data plane that hangs.
            restarted = self._reconcile(registry, _group_ids(registry)).started
            registry = self.registry()
            started = self._apply(registry)
            return self._reconcile(registry, _group_ids(registry)).started or started or restarted

    def standby(self) -> AbstractContextManager[None]:
        """Within the block, new connections wait while the data plane restarts instead of being refused.

        For one process at a time. Raises `SystemFault` or `OSError` if this is not possible.
        """
        return self._plane.standby()

    # Declarations

    def check(self, owner: str, declaration: Declaration) -> None:
        """Raise the errors of `apply`, and `ConfigError` if it would delete a protected load balancer. Changes nothing.

        `apply` itself ignores the protection, because a rollback must always be possible.
        """
        self.check_deletion_protection(owner, declaration)
        prepared = self._prepare(owner, declaration)
        with self._lock():
            self._check_change(owner, declaration, prepared)

    def apply(self, owner: str, declaration: Declaration) -> None:
        """Replace the declaration of `owner`. Its targets stay. On an error, nothing has changed."""
        prepared = self._prepare(owner, declaration)
        with self._locked():
            self._plane.maintain()
            before, wanted = self.registry(), self._check_change(owner, declaration, prepared)
            try:
                self._store_and_apply(wanted)
            except (BalancerFault, ConfigError):
                self._store_and_apply(before)
                raise

    def withdraw(self, owner: str) -> None:
        """Remove everything of `owner`. The data plane stops with the last owner."""
        with self._locked():
            self._store_and_apply(self.registry().withdraw(owner))

    # Targets

    def register(self, owner: str, group: str, *targets: Target) -> None:
        """Add targets. They are `initial`, without traffic, until `reconcile` finds that they passed a health check.

        On disk when this returns. A target that is already registered stays as it is. A target that was deregistered,
        or whose address has changed, must pass again.
        """
        with self._locked():
            self.registry().group(owner, group)
            # Remove leftovers of an earlier target of this name, whose checks must not count for the new one.
            self._reconcile(self.registry(), [group_id(owner, group)])
            ramps = self._is_served(owner, group)
            registry = self.registry().register(owner, group, targets, ramps=ramps)
            self._file.write(registry)
            self._reconcile(registry, [group_id(owner, group)])

    def deregister(self, owner: str, group: str, target_id: str) -> None:
        """Stop new requests to a target. Open requests continue.

        On disk, and confirmed by the data plane, when this returns. Does nothing for an unknown target.
        """
        with self._locked():
            registry = self.registry().deregister(owner, group, target_id)
            self._file.write(registry)
            self._reconcile(registry, [group_id(owner, group)])
            fact = self._plane.observe([group_id(owner, group)]).targets.get(group_id(owner, group), {}).get(target_id)
            if fact and fact.admitted:
                raise BalancerFault(f"the data plane still sends requests to {target_id}, which is deregistered")

    def abort_connections(self, owner: str, group: str, target_id: str) -> None:
        """Close the open requests of a target. Safe to repeat."""
        with self._locked():
            self.registry().group(owner, group)
            self._plane.abort(group_id(owner, group), target_id)

    def remove_target(self, owner: str, group: str, target_id: str) -> None:
        """Remove a deregistered target. Does nothing for an unknown one."""
        with self._locked():
            registry = self.registry()
            if owner not in registry.owners:
                return
            kept = tuple(r for r in registry.registrations(owner, group) if r.target.id != target_id)
            registry = registry.with_registrations(owner, group, kept)
            self._file.write(registry)
            self._reconcile(registry, [group_id(owner, group)])

    def _lock(self) -> AbstractContextManager[None]:
        make_folder(self.directory)
        return short_lock(self.directory / "lock")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the balancer's lock, with the registry in the current format."""
        with self._lock():
            self._resumed = (*self._resumed, *self._plane.resume())
            self._file.restore()
            if self._file.is_outdated:
                self._migrate()
            yield

    def _migrate(self) -> None:
        """Write the registry in the current format, which the previous version refuses.

        Processes that the previous version left running still read the old file, so they are replaced first. If this
        is interrupted, the next change repeats it. The content stays the same, so nothing is reloaded.
        """
        self._plane.take_over(plane_config(self.registry()))
        self._file.migrate()

    def _store_and_apply(self, registry: Registry) -> None:
        """Write the registry and apply it. If this is interrupted, the next reconciliation completes it."""
        # On a full disk, a crash before the next line is completed by the next change of this owner.
        with suppress(OSError):
            self._unfinished.touch()
        self._file.write(registry)
        self._apply(registry)

    def _apply(self, registry: Registry) -> bool:
        """Make the data plane match the registry. Return whether it had to be started."""
        started = not registry.is_empty and self._plane.apply(plane_config(registry))
        if registry.is_empty:
            self._plane.stop()
        self._unfinished.unlink(missing_ok=True)
        return started

    def _reconcile(self, registry: Registry, groups: Collection[str]) -> _Reconciled:
        try:
            return self._reconcile_once(registry, groups)
        except BalancerFault:
            ended = self._plane.end_if_hung()
            if self._plane.pid() is not None and not ended:
                raise
            # The data plane died after it was observed, or hung.
            return self._reconcile_once(registry, groups)

    def _reconcile_once(self, registry: Registry, groups: Collection[str]) -> _Reconciled:
        """Observe, reconcile, write, act. In this order, the next call completes what a crash interrupts."""
        started = self._unfinished.exists() and self._apply(registry)
        facts = self._plane.observe(groups)
        result = reconcile(registry, facts)
        if result.registry is not registry:
            self._file.write(result.registry)
        # A group is missing if the data plane still runs the declaration from before a crash.
        if result.apply or (not registry.is_empty and not facts.targets.keys() >= set(groups)):
            return _Reconciled(self._apply(result.registry) or started)
        for wanted in result.steer:
            self._plane.steer(wanted)
        is_settled = result.registry is registry and not result.steer
        return _Reconciled(started, facts if is_settled else None)

    def _is_served(self, owner: str, group: str) -> bool:
        """Return whether some target gets its full share, so a new one may start slowly."""
        registry = self.registry()
        ramp = timedelta(seconds=registry.group(owner, group).attributes.slow_start)
        if not ramp or not registry.registrations(owner, group):
            return False
        known = self._plane.observe([group_id(owner, group)]).targets.get(group_id(owner, group), {})
        found = ((r, known.get(r.target.id)) for r in registry.registrations(owner, group))
        return any(
            fact is not None and fact.admitted and fact.up and (not r.ramps or fact.state_age >= ramp)
            for r, fact in found
        )

    def _prepare(self, owner: str, declaration: Declaration) -> _PreparedChange:
        """Compute a change and read the keys that it needs, before the lock is taken."""
        registry = self.registry()
        wanted = registry.declare(owner, declaration)
        return _PreparedChange(registry, wanted, {} if wanted is registry else read_keys(wanted))

    def _check_change(self, owner: str, declaration: Declaration, prepared: _PreparedChange) -> Registry:
        registry = self.registry()
        wanted = prepared.wanted if registry is prepared.before else registry.declare(owner, declaration)
        if wanted is registry:
            return registry
        wanted = with_keys(wanted, prepared.keys)
        check_ports_free(registry, wanted)
        objection = self._plane.check(plane_config(wanted))
        if objection:
            raise ConfigError(f"HAProxy rejects the balancer of {owner}: {objection}")
        return wanted


@dataclass(frozen=True)
class _Reconciled:
    """Whether the data plane was started, and the facts that still hold: None if something was changed."""

    started: bool
    facts: Facts | None = None


@dataclass(frozen=True)
class _PreparedChange:
    """A change computed for the registry as it was before the lock was taken."""

    before: Registry
    wanted: Registry
    keys: Mapping[str, KeySet]


def _health(
    registry: Registry, owner: str, group: str, known: Mapping[str, TargetFact] | None
) -> tuple[TargetHealth, ...]:
    """Return the health of a group's targets. `known` is None if the data plane does not carry the group."""
    used, settings = registry.uses(owner, group), registry.group(owner, group)
    return tuple(
        target_health(
            registration,
            (known or {}).get(registration.target.id),
            running=known is not None,
            used=used,
            checked=registration.is_checked(settings),
        )
        for registration in registry.registrations(owner, group)
    )


def _group_ids(registry: Registry) -> list[str]:
    return [group_id(owner, name) for owner, name in registry.groups()]


def _is_mid_change(registry: Registry, owner: str, group: str, known: Mapping[str, TargetFact]) -> bool:
    """Return whether the registry is ahead of the data plane: an admitted target is not open yet."""
    admitted = (r for r in registry.registrations(owner, group) if r.wanted == "in" and r.admitted)
    facts = (known.get(registration.target.id) for registration in admitted)
    return any(fact is None or not fact.admitted for fact in facts)
