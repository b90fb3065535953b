"""The balancer: declarations, targets and the data plane that applies them. Usable without the runner.

The registry on disk is the source of truth. A method that changes something writes the registry, then makes the data
plane match it. The next reconciliation completes a change that a crash interrupted. Methods that read change nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pipeline.balancer.addresses import check_ports_free
from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.data_plane import DataPlane, group_id
from pipeline.balancer.endpoint_resources import EndpointState
from pipeline.balancer.follower import Follower
from pipeline.balancer.health import group_health
from pipeline.balancer.jwks import read_keys, with_keys
from pipeline.balancer.key_set import KeySet
from pipeline.balancer.model import Declaration, Target, TargetHealth, TargetState
from pipeline.balancer.registry import Registry
from pipeline.balancer.shared_changes import PendingChange, SharedChanges
from pipeline.balancer.targets import Registration
from pipeline.balancer.wanted import plane_config
from pipeline.balancer.zonal_shift import ZonalShift
from pipeline.base.clock import Stamp
from pipeline.base.errors import BalancerFault, ConfigError

_POLL_INTERVAL = 0.05
_FAILURES = (BalancerFault, ConfigError, OSError)


class Balancer(BalancerReader):
    """The load balancers and target groups of every owner on this machine, kept in one directory.

    Safe to use from any thread and any process. A change holds a lock, so one at a time runs over all processes; what
    `BalancerReader` has takes none. Raises `BalancerFault` if the data plane fails or the disk is full, and
    `ConfigError` if owners clash.
    """

    def __init__(self, directory: Path, plane: DataPlane) -> None:
        super().__init__(directory, plane)
        self._follower = Follower(self._synchronizer.agree)
        self._shared = SharedChanges(self._carry_out)

    # The data plane

    def resume(self) -> tuple[int, ...]:
        """Continue the processes of the data plane that a signal has stopped.

        Takes no lock. Every call that changes something does this first. Returns the processes that this object has
        continued since the last call.
        """
        return (*self._synchronizer.take_resumed(), *self._plane.resume())

    def reconcile(self, owner: str | None = None, group: str | None = None) -> bool:
        """Admit targets that have passed a check, and make the data plane match. Return whether it was started.

        With `owner` and `group`, only that group is reconciled, which costs less. Call it repeatedly while targets
        become healthy, because nothing else admits them. Does nothing for a group that is not declared.
        """
        if owner is None or group is None:
            return self._synchronizer.is_needed and self._synchronizer.agree().started
        return self.registry().has_group(owner, group) and self._synchronizer.agree([group_id(owner, group)]).started

    def reconciled_health(self, owner: str, group: str) -> tuple[TargetHealth, ...]:
        """Reconcile a group, and return the health of its targets afterwards.

        Does what `reconcile` and `target_health` do. It observes the data plane only once if nothing is to be changed.
        """
        if not self.registry().has_group(owner, group):
            return ()
        id_ = group_id(owner, group)
        agreed = self._synchronizer.agree([id_])
        if agreed.facts and id_ in agreed.facts.targets:
            return group_health(agreed.registry, owner, group, agreed.facts.targets[id_])
        return self.target_health(owner, group)

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
        with self._synchronizer.locked():
            self._plane.maintain()
            self._synchronizer.write(with_keys(self.registry(), keys))
            # First: this replaces a data plane that hangs.
            restarted = self._synchronizer.reconcile()
            started = self._synchronizer.apply(self.registry())
            return self._synchronizer.reconcile() or started or restarted

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
        with self._synchronizer.lock():
            self._check_change(owner, declaration, prepared)

    def apply(self, owner: str, declaration: Declaration) -> None:
        """Replace the declaration of `owner`. Its targets stay. On an error, nothing has changed."""
        prepared = self._prepare(owner, declaration)
        with self._synchronizer.locked():
            self._plane.maintain()
            before, wanted = self.registry(), self._check_change(owner, declaration, prepared)
            with self._restoring(before):
                self._synchronizer.store_and_apply(wanted)

    def withdraw(self, owner: str) -> None:
        """Remove what `owner` declared, and what clients of its API made that needs it.

        The data plane stops with the last resource.
        """
        with self._synchronizer.locked():
            self._plane.maintain()
            self._synchronizer.store_and_apply(self.registry().withdraw(owner))

    # Resources

    def change(self, owner: str, change: Callable[[Registry], Registry], *, soon: bool = False) -> Registry:
        """Change the registry by a pure function, and make the data plane match. Return the registry afterwards.

        `change` gets the registry as it is while the lock is held, so callers at the same time lose nothing. It may be
        called several times. What it raises is passed on. On an error, nothing has changed. Threads that change
        something at the same time share a reload of the data plane.

        `soon`: return when the change is stored and the data plane has found no fault in it. The data plane follows
        within a fraction of a second, once for several changes, and every other call that changes something or
        reconciles completes it first. Use it for what takes no target out of service.
        """
        seen = self.registry()
        pending = PendingChange(owner, change, seen, change(seen), soon=soon)
        if pending.wanted is not seen and pending.wanted.issuers():
            pending.keys = read_keys(pending.wanted)
        return self._shared.make(pending)

    def _carry_out(self, changes: Sequence[PendingChange]) -> None:
        """Carry out changes together. If the data plane refuses that, carry out each by itself."""
        with self._synchronizer.locked():
            try:
                self._carry_out_once(changes)
            except _FAILURES:
                if len(changes) == 1:
                    raise
                for each in changes:
                    each.error = None
                    try:
                        self._carry_out_once([each])
                    except (BalancerFault, ConfigError) as error:
                        each.error = error
                    except OSError as error:
                        each.error = self._synchronizer.fault(error)

    def _carry_out_once(self, changes: Sequence[PendingChange]) -> None:
        before = wanted = self.registry()
        for each in changes:
            wanted = each.applied_to(wanted)
        if wanted is before:
            return
        # The plane runs while the registry has anything, also if that has no part in it, such as a load balancer
        # without listeners. Otherwise the daemon would find it missing.
        has_same_plane = plane_config(wanted) == plane_config(before)
        if has_same_plane and before.is_empty == wanted.is_empty:
            self._synchronizer.write(wanted)
            return
        self._check_plane(changes[0].owner, before, wanted)
        with self._restoring(before):
            soon = all(each.soon for each in changes)
            store = self._synchronizer.store_ahead if soon else self._synchronizer.store
            store(wanted)
            # On a full disk, nothing but this call knows that there is something to do.
            if soon and self._synchronizer.is_behind:
                self._follower.request()
            else:
                self._synchronizer.apply(wanted)

    @contextmanager
    def _restoring(self, before: Registry) -> Iterator[None]:
        """Put a registry back if the block fails."""
        try:
            yield
        except _FAILURES:
            self._synchronizer.store_and_apply(before)
            raise

    # Zones

    def shift(self, owner: str, balancer: str, zone: str, until: Stamp) -> None:
        """Take a zone of a load balancer out of service until a time. It replaces an earlier shift.

        New traffic goes to the targets of the other zones, if the load balancer balances across zones. The zone's own
        node keeps its listeners, because clients may know its address for a while. `reconcile` ends it.
        Raises `ConfigError` for an unknown load balancer or zone, and if zonal shifts are disabled for it.
        """
        self._shift(owner, balancer, ZonalShift(zone=zone, until=until))

    def end_shift(self, owner: str, balancer: str) -> None:
        """Put a load balancer's zone back into service. Does nothing if none is shifted away.

        Raises `ConfigError` for an unknown load balancer.
        """
        self._shift(owner, balancer, None)

    def _shift(self, owner: str, balancer: str, shift: ZonalShift | None) -> None:
        with self._synchronizer.locked():
            registry = self.registry().shift(owner, balancer, shift)
            if registry is not self.registry():
                self._synchronizer.store_and_apply(registry)

    # Endpoints

    def decide(self, endpoint: str, state: EndpointState) -> bool:
        """Accept or reject an endpoint, by its resource's id, for the owner of its service. Return whether it changed.

        Raises `ConfigError` for an endpoint that does not exist, or whose service does not.
        """
        before = self.registry()
        after = self.change(before.endpoints[endpoint].owner, lambda registry: registry.decide(endpoint, state))
        return after.endpoints[endpoint].connection != before.endpoints[endpoint].connection

    # Targets

    def register(self, owner: str, group: str, *targets: Target) -> None:
        """Add targets. They are `initial`, without traffic, until `reconcile` finds that they passed a health check.

        On disk when this returns. A target that is already registered stays as it is. A target that was deregistered,
        or whose address has changed, must pass again.
        """
        with self._synchronizer.locked():
            registry = self.registry().register(owner, group, targets, ramps=self._is_served(owner, group))
            self._synchronizer.register(registry, owner, group)

    def deregister(self, owner: str, group: str, *target_ids: str) -> None:
        """Stop new requests to targets. Open requests continue.

        On disk, and confirmed by the data plane, when this returns. Does nothing for an unknown target.
        """
        id_ = group_id(owner, group)
        with self._synchronizer.locked():
            self._synchronizer.write(self.registry().deregister(owner, group, *target_ids))
            self._synchronizer.reconcile([id_])
            facts = self._plane.observe([id_]).targets.get(id_, {})
            if still := [target for target in target_ids if (fact := facts.get(target)) and fact.admitted]:
                raise BalancerFault(f"the data plane still sends requests to {still[0]}, which is deregistered")

    def abort_connections(self, owner: str, group: str, target_id: str) -> None:
        """Close the open requests of a target. Safe to repeat."""
        with self._synchronizer.locked():
            self.registry().group(owner, group)
            self._plane.abort(group_id(owner, group), target_id)

    def remove_target(self, owner: str, group: str, target_id: str) -> None:
        """Remove a deregistered target. Does nothing for an unknown one."""
        with self._synchronizer.locked():
            registry = self.registry()
            if owner not in registry.owners:
                return
            self._synchronizer.write(registry.remove(owner, group, target_id))
            self._synchronizer.reconcile([group_id(owner, group)])

    def end_drains(self, owner: str, group: str, is_over: Callable[[Registration], bool], *, abort: bool) -> None:
        """Remove the draining targets of a group whose drain is over. `abort`: close what they have open first.

        A target that has been registered again meanwhile stays. Does nothing for a group that does not exist.
        """
        id_ = group_id(owner, group)
        with self._synchronizer.locked():
            registry = self.registry()
            known = registry.registrations(owner, group) if registry.has_group(owner, group) else ()
            ids = [one.target.id for one in known if one.wanted == "out" and is_over(one)]
            if not ids:
                return
            for target in ids if abort else ():
                self._plane.abort(id_, target)
            self._synchronizer.write(registry.remove(owner, group, *ids))
            self._synchronizer.reconcile([id_])

    def _is_served(self, owner: str, group: str) -> bool:
        """Return whether some target gets its full share, so a new one may start slowly."""
        registry = self.registry()
        ramp = registry.group(owner, group).ramp
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
        self._check_plane(owner, registry, wanted)
        return wanted

    def _check_plane(self, owner: str, before: Registry, wanted: Registry) -> None:
        check_ports_free(before, wanted)
        objection = self._plane.check(plane_config(wanted))
        if objection:
            raise ConfigError(f"HAProxy rejects the balancer of {owner}: {objection}")


@dataclass(frozen=True)
class _PreparedChange:
    """A change computed for the registry as it was before the lock was taken."""

    before: Registry
    wanted: Registry
    keys: Mapping[str, KeySet]
