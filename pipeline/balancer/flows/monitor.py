"""The monitor of HAProxy and the flow agent."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.flows.process import flow_agent, flow_client, has_lost_flows
from pipeline.balancer.flows.wanted_flows import FlowFile
from pipeline.balancer.plane_monitor import PlaneMonitor

# Seconds. An agent that is only busy is asked again by the reconciliation that follows, which waits longer.
_TIMEOUT = 0.5


class FlowMonitor:
    """HAProxy's monitor, which also watches the flow agent. See `PlaneMonitor`."""

    def __init__(self, directory: Path, haproxy: PlaneMonitor) -> None:
        self._haproxy = haproxy
        self._file = FlowFile(directory)
        self._agent = flow_agent(directory)
        self._client = flow_client(directory)

    def open(self) -> bool:
        return self._haproxy.open()

    def close(self) -> None:
        self._haproxy.close()

    def fileno(self) -> int:
        return self._haproxy.fileno()

    def owners(self) -> set[str]:
        return self._haproxy.owners()

    def is_responding(self) -> bool:
        if has_lost_flows(self._agent, self._file):
            return False
        return self._haproxy.is_responding() and (not self._file.read().listeners or self._client.responds(_TIMEOUT))
