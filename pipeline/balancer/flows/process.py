"""The flow agent as a process beside HAProxy, and its client."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.agent.requests import AgentClient
from pipeline.balancer.companion import Companion

SOCKET = "flows.sock"
_TITLE = "flow agent"


def flow_agent(directory: Path) -> Companion:
    """Return the flow agent of one balancer directory."""
    return Companion(directory, title=_TITLE, name="flows", module="pipeline.balancer.flows.agent", socket_name=SOCKET)


def flow_client(directory: Path) -> AgentClient:
    """Return the client of the flow agent. See `FlowKeeper.answer` for its requests."""
    return AgentClient(directory, SOCKET, _TITLE)
