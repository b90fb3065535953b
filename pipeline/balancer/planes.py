"""The choice of the data planes. Only this module imports one."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.flows.monitor import FlowMonitor
from pipeline.balancer.flows.plane import FlowPlane
from pipeline.balancer.haproxy.monitor import HAProxyMonitor
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.balancer.plane_monitor import PlaneMonitor


def open_balancer(directory: Path) -> Balancer:
    """Return the balancer in `directory`. Starts nothing and creates nothing.

    Several processes may open the same directory.
    """
    return Balancer(directory, FlowPlane(directory, HAProxyPlane(directory)))


def open_monitor(directory: Path) -> PlaneMonitor:
    """Return a monitor of the data plane in `directory`, for the one process that supervises it."""
    return FlowMonitor(directory, HAProxyMonitor(directory))
