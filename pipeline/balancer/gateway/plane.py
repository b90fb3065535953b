"""The data plane with gateway load balancers: the kernel sends the packets of networks through appliances.

HAProxy, which the inner plane has, checks the appliances. The gateway agent keeps the path of the packets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.balancer.agent.flow_fact import FlowFacts
from pipeline.balancer.agent.plane_with_agent import PING_TIMEOUT, PlaneWithAgent
from pipeline.balancer.data_plane import DataPlane, FlowCounts, OpenFlow, PacketEnds, PlaneConfig, WantedGroup
from pipeline.balancer.gateway.attached_devices import AttachedDevices
from pipeline.balancer.gateway.config_gateway import appliance_group, wanted_gateway
from pipeline.balancer.gateway.gateway_counts import gateway_counts
from pipeline.balancer.gateway.process import gateway_agent, gateway_client
from pipeline.balancer.gateway.support import path_fault
from pipeline.balancer.gateway.wanted_gateway import ApplianceGroup, GatewayFile, WantedGateway
from pipeline.base.errors import BalancerFault, ConfigError


class GatewayPlane(PlaneWithAgent[WantedGateway]):
    """Gateway load balancers and all others of one directory, as a `DataPlane`. `inner`: the plane of the others."""

    def __init__(self, directory: Path, inner: DataPlane) -> None:
        super().__init__(inner, gateway_agent(directory), gateway_client(directory), GatewayFile(directory))
        self._devices = AttachedDevices(directory)

    def check(self, wanted: PlaneConfig) -> str | None:
        if wanted.endpoints:
            # To attach networks takes rights too, whatever those of the agent are.
            if fault := path_fault():
                first = wanted.endpoints[0]
                raise ConfigError(f"endpoint {first.name} of {first.owner}: {fault.message}", hint=fault.hint)
            self._devices.attachments.check(wanted.endpoints)
        return super().check(wanted)

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

    def _own_counts(self) -> Iterable[FlowCounts]:
        wanted = self._file.read()
        return gateway_counts(wanted, self._client.ask("counts", PING_TIMEOUT)) if wanted.endpoints else ()

    def _observed_flows(self) -> FlowFacts | None:
        return super()._observed_flows() if self._has_devices() else None

    def _right_fault(self) -> BalancerFault | None:
        return path_fault()

    def _has_devices(self) -> bool:
        """Return whether the networks are attached as wanted, by devices of the right sizes."""
        if self._devices.stamp() != self._file.read().devices:
            return False
        return self._devices.attachments.has_limits(self._client.ask("sizes", PING_TIMEOUT))

    def _carried(self) -> set[str]:
        """Return the target groups whose appliances get packets."""
        return set(self._file.read().groups)

    def _follow(self, id_: str, group: ApplianceGroup) -> None:
        known = self._file.read()
        if id_ in known.groups:
            self._file.write(known.with_group(id_, group))
            self._sync()

    def _sync(self) -> None:
        self._ensure_agent()
        self._client.ask("sync")
        # What was on its way in larger packets is sent again.
        self._devices.attachments.limit(self._client.ask("sizes"))

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
