"""The gateway agent as a process beside HAProxy, and its client."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.agent.requests import AgentClient
from pipeline.balancer.companion import Companion

SOCKET = "gateway.sock"
_TITLE = "gateway agent"


def gateway_agent(directory: Path) -> Companion:
    """Return the gateway agent of one balancer directory."""
    module = "pipeline.balancer.gateway.agent"
    return Companion(directory, title=_TITLE, name="gateway", module=module, socket_name=SOCKET)


def gateway_client(directory: Path) -> AgentClient:
    """Return the client of the gateway agent. See `GatewayKeeper.answer` for its requests."""
    return AgentClient(directory, SOCKET, _TITLE)
