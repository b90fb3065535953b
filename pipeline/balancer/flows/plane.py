"""The data plane of HAProxy and the kernel. HAProxy checks all targets, and carries what the kernel cannot.

The kernel takes flows before they reach HAProxy, which is bound to the same ports of TCP. So if another program removes
the kernel's rules, HAProxy gets the connections until the flow agent has restored them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.balancer.agent.flow_fact import parse_facts
from pipeline.balancer.agent.plane_with_agent import PING_TIMEOUT, PlaneWithAgent
from pipeline.balancer.data_plane import DataPlane, FlowCounts, PlaneConfig, WantedGroup
from pipeline.balancer.effective import EffectiveListener
from pipeline.balancer.flows.config_flows import group_flows, plane_choices, wanted_flows
from pipeline.balancer.flows.kernel_counts import kernel_counts
from pipeline.balancer.flows.left_listeners import LeftListener, with_left
from pipeline.balancer.flows.process import flow_agent, flow_client
from pipeline.balancer.flows.wanted_flows import FlowFile, GroupFlows, ListenerFlows, WantedFlows
from pipeline.balancer.haproxy.naming import group_of
from pipeline.balancer.kernel.others import PREFIX
from pipeline.balancer.kernel.support import forwarding_remedy, kernel_fault, table_with_listener
from pipeline.balancer.kernel.table import Traffic, has_vanished
from pipeline.balancer.plane_choice import KernelSupport, PlaneChoice
from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.base.home_id import home_id


class FlowPlane(PlaneWithAgent[WantedFlows]):
    """HAProxy and the kernel of one directory, as a `DataPlane`. `haproxy`: the plane that also checks all targets."""

    def __init__(self, directory: Path, haproxy: DataPlane) -> None:
        super().__init__(haproxy, flow_agent(directory), flow_client(directory), FlowFile(directory))
        self._directory = directory

    def check(self, wanted: PlaneConfig) -> str | None:
        support = self._support(wanted)
        if missing := _missing(wanted, support):
            message, hint = missing
            raise ConfigError(message, hint=hint)
        _check_free(wanted_flows(wanted, support), PREFIX + home_id(self._directory))
        return super().check(wanted)

    def choices(self, wanted: PlaneConfig) -> Mapping[int, PlaneChoice]:
        support = self._support(wanted)
        nodes, left = wanted_flows(wanted, support).listeners, self._left()
        return {
            effective.number: with_left(choice, [node for node in nodes if _is_of(node, effective)], left)
            for effective, choice in plane_choices(wanted, support)
        }

    def apply(self, wanted: PlaneConfig) -> bool:
        started, support = self._inner.apply(wanted), self._support(wanted)
        flows = wanted_flows(wanted, support)
        # Their open flows are still counted.
        former = {pool: flows for pool, flows in self._pools_with_flows().items() if group_of(pool) in wanted.groups}
        if flows.listeners or former:
            self._file.write(replace(flows, groups={**former, **flows.groups}))
            self._ensure_agent()
            self._client.ask("sync")
        else:
            self._stop_agent()
        # The right may have been lost since the check. What HAProxy carries must not depend on it.
        if missing := _missing(wanted, support):
            message, hint = missing
            raise BalancerFault(message, hint=hint)
        return started

    def steer(self, group: WantedGroup) -> None:
        self._inner.steer(group)
        known = self._file.read()
        if changed := {pool: flows for pool, flows in group_flows(group).items() if pool in known.groups}:
            self._file.write(replace(known, groups={**known.groups, **changed}))
            self._sync()

    def extend(self, group: WantedGroup) -> bool:
        has_extended = self._inner.extend(group)
        if group.id not in self._carried():
            return has_extended
        # HAProxy may have closed former targets of these ids.
        self._sync()
        found = self._facts().get(group.id, {})
        return has_extended and not any(target.id in found for target in group.targets)

    def _own_counts(self) -> Iterable[FlowCounts]:
        wanted = self._file.read()
        if not wanted.listeners:
            return ()
        counted = self._client.ask("counts", PING_TIMEOUT)
        return kernel_counts(wanted, _traffic(counted["traffic"]), parse_facts(counted["facts"]))

    def _right_fault(self) -> BalancerFault | None:
        return kernel_fault()

    def _left(self) -> list[LeftListener]:
        """Return the nodes that the agent has left to HAProxy."""
        try:
            found = self._client.ask("left", PING_TIMEOUT) if self._file.read().listeners else []
        except BalancerFault:
            return []
        return [LeftListener(tuple(node), *target) for node, *target in found]

    def _support(self, wanted: PlaneConfig) -> KernelSupport:
        if not any(choice.plane == "kernel" for _, choice in plane_choices(wanted, KernelSupport())):
            return KernelSupport()
        # An agent that was started with the right to change rules keeps it.
        if self._file.read().listeners and self._client.responds(PING_TIMEOUT):
            return KernelSupport(blocked=forwarding_remedy())
        fault = kernel_fault()
        if fault is not None:
            return KernelSupport(fault.message, fault.hint or "")
        return KernelSupport(blocked=forwarding_remedy())

    def _carried(self) -> set[str]:
        """Return the target groups of which the kernel carries a pool."""
        return set(map(group_of, self._file.read().groups))

    def _pools_with_flows(self) -> dict[str, GroupFlows]:
        """Return the pools of groups that the kernel carried until now and that have open flows."""
        known = self._file.read().groups
        try:
            found = self._facts(exact="yes") if known else {}
        except BalancerFault:
            return {}
        busy = {id_ for id_, flows in found.items() if any(flow.in_flight for flow in flows.values())}
        return {pool: flows for pool, flows in known.items() if group_of(pool) in busy}

    def _sync(self) -> None:
        if self._agent.running() is None:
            self._ensure_agent()
        self._client.ask("sync")

    def _stop_agent(self) -> None:
        if not (self._file.exists() or self._agent.is_started()):
            return
        if self._agent.running() is not None or not has_vanished(self._directory):
            self._ensure_agent()
            self._file.write(WantedFlows())
            self._client.ask("stop")
        self._agent.stop()
        self._file.remove()


def _traffic(found: Mapping[str, Mapping[str, Iterable[int]]]) -> dict[str, dict[str, Traffic]]:
    return {id_: {name: Traffic(*one) for name, one in targets.items()} for id_, targets in found.items()}


def _missing(wanted: PlaneConfig, support: KernelSupport) -> tuple[str, str] | None:
    """Return which listener only the kernel could carry, which this machine does not let it, with what to grant."""
    for effective, choice in plane_choices(wanted, support):
        if choice.is_missing:
            return f"{effective.label}, port {effective.port}, needs the kernel: {choice.reason}", choice.hint
    return None


def _is_of(node: ListenerFlows, effective: EffectiveListener) -> bool:
    place = node.owner, node.load_balancer, node.port
    return place == (effective.owner, effective.name, effective.port) and node.protocol in effective.binding.transports


def _check_free(wanted: WantedFlows, table: str) -> None:
    """Raise `ConfigError` if another home has a listener of UDP. It has no socket, so the port seems to be free."""
    for each in wanted.listeners:
        if each.protocol == "udp" and (other := table_with_listener("udp", each.address, each.port, besides=table)):
            raise ConfigError(
                f"port {each.port} of load balancer {each.load_balancer} of {each.owner} is taken by another home of "
                "Penstock",
                hint=f"use another; if that home is gone, remove its rules: nft delete table inet {other}",
            )
