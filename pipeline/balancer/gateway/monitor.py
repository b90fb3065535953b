"""The monitor of a data plane with gateway load balancers."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.agent.monitor_with_agent import MonitorWithAgent
from pipeline.balancer.gateway.attached_devices import AttachedDevices
from pipeline.balancer.gateway.process import gateway_agent, gateway_client
from pipeline.balancer.gateway.wanted_gateway import GatewayFile, WantedGateway
from pipeline.balancer.plane_monitor import PlaneMonitor


class GatewayMonitor(MonitorWithAgent[WantedGateway]):
    """The inner plane's monitor, which also watches the gateway agent and the networks. See `PlaneMonitor`."""

    def __init__(self, directory: Path, inner: PlaneMonitor) -> None:
        super().__init__(inner, gateway_agent(directory), gateway_client(directory), GatewayFile(directory))
        self._devices = AttachedDevices(directory)

    def _is_carrying(self, wanted: WantedGateway) -> bool:
        return bool(wanted.endpoints)

    def is_responding(self) -> bool:
        wanted = self._file.read()
        if self._is_carrying(wanted) and self._devices.stamp() != wanted.devices:
            return False
        return super().is_responding()
