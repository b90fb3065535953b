"""The adapter of functions as a process beside HAProxy."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.companion import Companion
from pipeline.balancer.haproxy.naming import FUNCTION_SOCKET


def adapter(directory: Path) -> Companion:
    """Return the adapter of one balancer directory."""
    return Companion(
        directory,
        title="adapter of functions",
        name="functions",
        module="pipeline.balancer.haproxy.functions.adapter",
        socket_name=FUNCTION_SOCKET,
    )
