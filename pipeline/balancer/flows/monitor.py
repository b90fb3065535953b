"""The monitor of HAProxy and the flow agent."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.agent.monitor_with_agent import MonitorWithAgent
from pipeline.balancer.flows.process import flow_agent, flow_client
from pipeline.balancer.flows.wanted_flows import FlowFile, WantedFlows
from pipeline.balancer.plane_monitor import PlaneMonitor


class FlowMonitor(MonitorWithAgent[WantedFlows]):
    """HAProxy's monitor, which also watches the flow agent. See `PlaneMonitor`."""

    def __init__(self, directory: Path, haproxy: PlaneMonitor) -> None:
        super().__init__(haproxy, flow_agent(directory), flow_client(directory), FlowFile(directory))

    def _is_carrying(self, wanted: WantedFlows) -> bool:
        return bool(wanted.listeners)
