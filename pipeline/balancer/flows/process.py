"""The flow agent as a process beside HAProxy, and its client."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.agent.requests import AgentClient
from pipeline.balancer.companion import Companion
from pipeline.balancer.flows.wanted_flows import FlowFile

SOCKET = "flows.sock"
_TITLE = "flow agent"


def flow_agent(directory: Path) -> Companion:
    """Return the flow agent of one balancer directory."""
    return Companion(directory, title=_TITLE, name="flows", module="pipeline.balancer.flows.agent", socket_name=SOCKET)


def flow_client(directory: Path) -> AgentClient:
    """Return the client of the flow agent. See `FlowKeeper.answer` for its requests."""
    return AgentClient(directory, SOCKET, _TITLE)


def has_lost_flows(agent: Companion, file: FlowFile) -> bool:
    """Return whether an agent was started, and another program removed or damaged the file of what it carries."""
    return file.found() is None and agent.is_started()
