"""The flow agent as a process beside HAProxy."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.companion import Companion
from pipeline.balancer.flows.requests import SOCKET


def flow_agent(directory: Path) -> Companion:
    """Return the flow agent of one balancer directory."""
    return Companion(
        directory, title="flow agent", name="flows", module="pipeline.balancer.flows.agent", socket_name=SOCKET
    )
