"""The choice of the data planes. Only this module imports one."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.flows.monitor import FlowMonitor
from pipeline.balancer.flows.plane import FlowPlane
from pipeline.balancer.gateway.monitor import GatewayMonitor
from pipeline.balancer.gateway.plane import GatewayPlane
from pipeline.balancer.gateway.support import path_fault
from pipeline.balancer.haproxy import process
from pipeline.balancer.haproxy.monitor import HAProxyMonitor
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.balancer.kernel import support
from pipeline.balancer.plane_monitor import PlaneMonitor
from pipeline.base.errors import BalancerFault


def open_balancer(directory: Path) -> Balancer:
    """Return the balancer in `directory`. Starts nothing and creates nothing.

    Several processes may open the same directory.
    """
    return Balancer(directory, GatewayPlane(directory, FlowPlane(directory, HAProxyPlane(directory))))


def open_monitor(directory: Path) -> PlaneMonitor:
    """Return a monitor of the data plane in `directory`, for the one process that supervises it."""
    return GatewayMonitor(directory, FlowMonitor(directory, HAProxyMonitor(directory)))


def data_plane_version() -> str:
    """Return the version and the path of the data plane's program. Raises `BalancerFault` if it cannot be used."""
    return process.version()


def kernel_fault() -> BalancerFault | None:
    """Return what keeps the kernel of this machine from carrying network load balancers, or None."""
    return support.kernel_fault()


def gateway_fault() -> BalancerFault | None:
    """Return what keeps the kernel of this machine from sending packets through appliances, or None."""
    return path_fault()
