"""What can be read of a balancer: its resources, the health of their targets, and what carries the traffic."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from pipeline.balancer.access import AccessLog
from pipeline.balancer.data_plane import DataPlane, Facts, FlowCounts, OpenFlow, PacketEnds, TargetFact, group_id
from pipeline.balancer.effective import EffectiveListener, effective_listeners
from pipeline.balancer.health import INTERNAL_ERROR, IP_UNUSABLE, group_health
from pipeline.balancer.model import Declaration, GatewayTargetGroup, TargetHealth
from pipeline.balancer.nodes import NodeHealth, node_health
from pipeline.balancer.plane_choice import PlaneChoice
from pipeline.balancer.pools import zones_of
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import DECLARED
from pipeline.balancer.synchronizer import Synchronizer
from pipeline.balancer.waiting import WaitingListener, waiting_listeners
from pipeline.balancer.wanted import plane_config
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError

# Reads of a target's health, and seconds between them, if the registry has changed and the data plane has not yet.
_MAX_READS, _READ_PAUSE = 6, 0.002


class BalancerReader:
    """Reads the balancer of one directory. Takes no lock, writes nothing and starts nothing.

    Safe to use from any thread and any process.
    """

    def __init__(self, directory: Path, plane: DataPlane) -> None:
        self.directory = directory
        self._plane = plane
        self._synchronizer = Synchronizer(directory, plane)

    def access_log(self) -> AccessLog:
        """Return a new reader of the access log, which starts at the oldest record."""
        return self._plane.access_log()

    def flow_counts(self) -> tuple[FlowCounts, ...]:
        """Return the counts of the flows of network load balancers, by process of the data plane."""
        return self._plane.flow_counts()

    def registry(self) -> Registry:
        """Return the resources of all owners, and their targets."""
        return self._synchronizer.registry()

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
        return group_health(registry, owner, group, known)

    def all_target_health(self) -> dict[tuple[str, str], tuple[TargetHealth, ...]]:
        """Return what `target_health` returns, for every target group by owner and name, of one moment.

        Asks the data plane once, however many groups there are.
        """
        return self.health_from(*self.facts())

    def facts(self) -> tuple[Registry, Facts]:
        """Return the registry, and what the data plane knows of all targets, of one moment."""
        for _ in range(_MAX_READS):
            registry = self.registry()
            facts = self._plane.observe() if registry.target_groups else _nothing()
            if not self.is_ahead(registry, facts):
                break
            time.sleep(_READ_PAUSE)
        return registry, facts

    def health_from(self, registry: Registry, facts: Facts) -> dict[tuple[str, str], tuple[TargetHealth, ...]]:
        """Return the health of all targets that follows from what `facts` returns."""
        return {
            group: group_health(registry, *group, facts.targets.get(group_id(*group))) for group in registry.groups()
        }

    def is_ahead(self, registry: Registry, facts: Facts) -> bool:
        """Return whether the registry is ahead of the facts: an admitted target is not open in them."""
        known = ((group, facts.targets.get(group_id(*group))) for group in registry.groups())
        return any(found and _is_mid_change(registry, *group, found) for group, found in known)

    def open_flow(self, endpoint: str, packet: PacketEnds) -> OpenFlow | None:
        """Return who has the flow of a packet at an endpoint, by its id, or None if none is open."""
        return self._plane.open_flow(endpoint, packet)

    def network_faults(self) -> Mapping[tuple[str, str], str]:
        """Return why networks are not attached, by the id of the endpoint and the network's name there."""
        return self._plane.network_faults() if self.registry().endpoints else {}

    def unusable_targets(self, before: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """Return why nothing can be sent to the addresses of appliances, by `TARGET in GROUP of OWNER`.

        `before`: an earlier result. What it has of an appliance stays while the data plane says nothing of it.
        """
        registry, found = self.registry(), dict[str, str]()
        for owner, name in sorted(registry.groups()) if registry.endpoints else ():
            if not isinstance(registry.group(owner, name), GatewayTargetGroup):
                continue
            for one in self.target_health(owner, name):
                label = f"{one.target.id} in {name} of {owner}"
                if one.reason == IP_UNUSABLE:
                    found[label] = one.description
                elif before and label in before and one.reason == INTERNAL_ERROR:
                    found[label] = before[label]
        return found

    def held_requests(self, owner: str, group: str) -> int:
        """Return the number of requests that wait until a group that is scaled to zero has a target."""
        return self._plane.held(group_id(owner, group))

    def zones(self, owner: str, group: str) -> tuple[str, ...]:
        """Return the zones that the load balancers of a group are enabled in, in the order of their declaration."""
        return zones_of(self.registry(), owner, group)

    def nodes(self) -> dict[tuple[str, str], dict[str, NodeHealth]]:
        """Return the health of each node now: owner and name of the load balancer → zone → health.

        A load balancer without zones is left out. Without any zone, the data plane is not observed.
        """
        registry = self.registry()
        zoned = [effective for effective in effective_listeners(registry) if effective.balancer.zones]
        groups = {group_id(*group) for effective in zoned for group in effective.groups()}
        facts = self._plane.observe(groups) if groups else _nothing()
        return node_health(registry, facts, SYSTEM.now())

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
            stays = balancer.name in kept or balancer.made_by != DECLARED
            if balancer.owner == owner and balancer.settings.attributes.deletion_protection and not stays:
                raise ConfigError(
                    f"load balancer {balancer.name} of {owner} is protected against deletion",
                    hint="set its attribute deletion_protection.enabled to false and run the pipeline first",
                )

    def plane_choices(
        self, owner: str = "", declaration: Declaration | None = None
    ) -> list[tuple[EffectiveListener, PlaneChoice]]:
        """Return what carries each listener of a network load balancer, after `owner` declares this if it is given.

        Raises `ConfigError` if the declaration is not possible.
        """
        registry = self.registry().declare(owner, declaration) if declaration else self.registry()
        # No target changes a choice, and there may be a thousand.
        config = plane_config(registry.model_copy(update={"targets": {}}))
        choices = self._plane.choices(config)
        return [(each, choices[each.number]) for each in config.listeners if each.number in choices]

    def pid(self) -> int | None:
        """Return the process that exits when the data plane does, or None if it does not run."""
        return self._plane.pid()

    def stopped(self) -> tuple[int, ...]:
        """Return the processes of the data plane that a signal has stopped. Nothing is served until they continue."""
        return self._plane.stopped()


def _nothing() -> Facts:
    return Facts(running=False, at=SYSTEM.now(), targets={})


def _is_mid_change(registry: Registry, owner: str, group: str, known: Mapping[str, TargetFact]) -> bool:
    """Return whether the registry is ahead of the data plane: an admitted target is not open yet."""
    admitted = (r for r in registry.registrations(owner, group) if r.wanted == "in" and r.admitted)
    facts = (known.get(registration.target.id) for registration in admitted)
    return any(fact is None or not fact.admitted for fact in facts)
