"""The data plane with gateway load balancers: the kernel sends the packets of networks through appliances.

HAProxy, which the inner plane has, checks the appliances. The gateway agent keeps the path of the packets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from pipeline.balancer.access import AccessLog
from pipeline.balancer.agent.flow_fact import FlowFacts, parse_facts, with_flows
from pipeline.balancer.data_plane import DataPlane, Facts, FlowCounts, OpenFlow, PacketEnds, PlaneConfig, WantedGroup
from pipeline.balancer.gateway.attached_devices import AttachedDevices
from pipeline.balancer.gateway.config_gateway import appliance_group, wanted_gateway
from pipeline.balancer.gateway.gateway_counts import gateway_counts
from pipeline.balancer.gateway.process import gateway_agent, gateway_client
from pipeline.balancer.gateway.support import path_fault
from pipeline.balancer.gateway.wanted_gateway import ApplianceGroup, GatewayFile, WantedGateway
from pipeline.balancer.plane_choice import PlaneChoice
from pipeline.base.errors import BalancerFault, ConfigError

# Seconds in which the agent answers, unless it hangs or a signal has stopped it.
_PING_TIMEOUT = 3.0


class GatewayPlane:
    """Gateway load balancers and all others of one directory, as a `DataPlane`. `inner`: the plane of the others."""

    def __init__(self, directory: Path, inner: DataPlane) -> None:
        self._devices = AttachedDevices(directory)
        self._inner = inner
        self._file = GatewayFile(directory)
        self._agent = gateway_agent(directory)
        self._client = gateway_client(directory)

    def check(self, wanted: PlaneConfig) -> str | None:
        if wanted.endpoints:
            # To attach networks takes rights too, whatever those of the agent are.
            if fault := path_fault():
                first = wanted.endpoints[0]
                raise ConfigError(f"endpoint {first.name} of {first.owner}: {fault.message}", hint=fault.hint)
            self._devices.attachments.check(wanted.endpoints)
        return self._inner.check(wanted)

    def choices(self, wanted: PlaneConfig) -> Mapping[int, PlaneChoice]:
        return self._inner.choices(wanted)

    def take_over(self, wanted: PlaneConfig) -> None:
        self._inner.take_over(wanted)

    def apply(self, wanted: PlaneConfig) -> bool:
        started = self._inner.apply(wanted)
        if wanted.endpoints:
            found = wanted_gateway(wanted, self._devices.attachments.attached(wanted.endpoints))
            self._file.write(replace(found, devices=self._devices.stamp()))
            self._sync()
        else:
            self._stop_agent()
        return started

    def steer(self, group: WantedGroup) -> None:
        self._inner.steer(group)
        self._follow(group.id, appliance_group(group))

    def extend(self, group: WantedGroup) -> bool:
        has_extended = self._inner.extend(group)
        known = self._file.read().groups.get(group.id)
        if known is None:
            return has_extended
        self._follow(group.id, replace(known, zones={**known.zones, **appliance_group(group).zones}))
        found = self._facts().get(group.id, {})
        return has_extended and not any(target.id in found for target in group.targets)

    def observe(self, groups: Collection[str] | None = None) -> Facts:
        facts = self._inner.observe(groups)
        if self._is_lost():
            # Nothing is known of the groups of appliances, so the reconciliation that follows applies them all.
            return replace(facts, targets={})
        carried = self._carried() & facts.targets.keys()
        if not (facts.running and carried):
            return facts
        try:
            # Without it, nothing is known of these groups. The reconciliation that follows revives the agent.
            found = self._facts(_PING_TIMEOUT) if self._has_devices() else None
        except BalancerFault:
            found = None
        if found is None:
            others = {id_: targets for id_, targets in facts.targets.items() if id_ not in carried}
            return replace(facts, targets=others)
        merged = {id_: with_flows(facts.targets[id_], found.get(id_, {})) for id_ in carried}
        return replace(facts, targets={**facts.targets, **merged})

    def flow_counts(self) -> tuple[FlowCounts, ...]:
        counts, wanted = self._inner.flow_counts(), self._file.read()
        if not wanted.endpoints:
            return counts
        try:
            found = self._client.ask("counts", _PING_TIMEOUT)
        except BalancerFault:
            # The agent is starting or hangs. Its counts go on with the next call.
            return counts
        return (*counts, *gateway_counts(wanted, found))

    def open_flow(self, endpoint: str, packet: PacketEnds) -> OpenFlow | None:
        if endpoint not in self._file.read().endpoints:
            return self._inner.open_flow(endpoint, packet)
        try:
            found = self._client.ask(
                "flow",
                endpoint=endpoint,
                source=packet.source,
                target=packet.target,
                protocol=str(packet.protocol),
                source_port=str(packet.source_port),
                target_port=str(packet.target_port),
            )
        except BalancerFault:
            return None
        return OpenFlow(**found) if found else None

    def network_faults(self) -> Mapping[tuple[str, str], str]:
        known = self._devices.attachments.faults() if self._file.read().endpoints else {}
        return {**self._inner.network_faults(), **{key: fault.message for key, fault in known.items()}}

    def held(self, group: str) -> int:
        return self._inner.held(group)

    def abort(self, group: str, target: str) -> None:
        self._inner.abort(group, target)
        if group in self._carried():
            self._client.ask("cut", group=group, target=target)

    def maintain(self) -> None:
        self._inner.maintain()

    def stop(self) -> None:
        self._inner.stop()
        self._stop_agent()

    def pid(self) -> int | None:
        return self._inner.pid()

    def stopped(self) -> tuple[int, ...]:
        return (*self._inner.stopped(), *self._agent.stopped())

    def resume(self) -> tuple[int, ...]:
        return (*self._inner.resume(), *self._agent.resume())

    def is_cut_off(self) -> bool:
        return self._inner.is_cut_off() or self._is_lost()

    def end_if_hung(self) -> bool:
        has_ended = self._inner.end_if_hung()
        if self._agent.running() is None or self._client.responds(_PING_TIMEOUT):
            return has_ended
        self._agent.kill()
        return True

    def standby(self) -> AbstractContextManager[None]:
        return self._inner.standby()

    def access_log(self) -> AccessLog:
        return self._inner.access_log()

    def _is_lost(self) -> bool:
        """Return whether an agent was started, and another program removed or damaged the file of what it keeps."""
        return self._file.found() is None and self._agent.is_started()

    def _has_devices(self) -> bool:
        """Return whether the networks are attached as wanted, by devices of the right sizes."""
        if self._devices.stamp() != self._file.read().devices:
            return False
        return self._devices.attachments.has_limits(self._client.ask("sizes", _PING_TIMEOUT))

    def _carried(self) -> set[str]:
        """Return the target groups whose appliances get packets."""
        return set(self._file.read().groups)

    def _follow(self, id_: str, group: ApplianceGroup) -> None:
        known = self._file.read()
        if id_ in known.groups:
            self._file.write(known.with_group(id_, group))
            self._sync()

    def _facts(self, timeout: float = 10.0) -> FlowFacts:
        return parse_facts(self._client.ask("facts", timeout))

    def _sync(self) -> None:
        self._ensure_agent()
        self._client.ask("sync")
        # What was on its way in larger packets is sent again.
        self._devices.attachments.limit(self._client.ask("sizes"))

    def _ensure_agent(self) -> None:
        # A process without the right to change the path must not replace an agent that has it, or start one.
        if (fault := path_fault()) is None:
            self._agent.ensure_current()
        elif self._agent.running() is None:
            raise fault

    def _stop_agent(self) -> None:
        if not (self._file.exists() or self._agent.is_started()):
            return
        self._ensure_agent()
        self._file.write(WantedGateway())
        self._client.ask("stop")
        self._agent.stop()
        self._devices.attachments.detach_all()
        # Last: until then, the next call repeats what a crash has interrupted.
        self._file.remove()
