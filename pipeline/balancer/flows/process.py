"""The flow agent as a process beside HAProxy."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.companion import Companion
from pipeline.balancer.flows.requests import SOCKET
from pipeline.balancer.flows.wanted_flows import FlowFile


def flow_agent(directory: Path) -> Companion:
    """Return the flow agent of one balancer directory."""
    return Companion(
        directory, title="flow agent", name="flows", module="pipeline.balancer.flows.agent", socket_name=SOCKET
    )


def has_lost_flows(agent: Companion, file: FlowFile) -> bool:
    """Return whether an agent was started, and another program removed or damaged the file of what it carries."""
    return file.found() is None and agent.is_started()
