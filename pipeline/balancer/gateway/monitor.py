"""The monitor of a data plane with gateway load balancers."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.gateway.attached_devices import AttachedDevices
from pipeline.balancer.gateway.process import gateway_agent, gateway_client
from pipeline.balancer.gateway.wanted_gateway import GatewayFile
from pipeline.balancer.plane_monitor import PlaneMonitor

# Seconds. An agent that is only busy is asked again by the reconciliation that follows, which waits longer.
_TIMEOUT = 0.5


class GatewayMonitor:
    """The inner plane's monitor, which also watches the gateway agent and the networks. See `PlaneMonitor`."""

    def __init__(self, directory: Path, inner: PlaneMonitor) -> None:
        self._inner = inner
        self._file = GatewayFile(directory)
        self._devices = AttachedDevices(directory)
        self._agent = gateway_agent(directory)
        self._client = gateway_client(directory)

    def open(self) -> bool:
        return self._inner.open()

    def close(self) -> None:
        self._inner.close()

    def fileno(self) -> int:
        return self._inner.fileno()

    def owners(self) -> set[str]:
        return self._inner.owners()

    def is_responding(self) -> bool:
        wanted = self._file.found()
        if wanted is None and self._agent.is_started():
            return False
        if wanted is not None and wanted.endpoints and not self._carries(wanted.devices):
            return False
        return self._inner.is_responding()

    def _carries(self, devices: str) -> bool:
        return self._devices.stamp() == devices and self._client.responds(_TIMEOUT)
