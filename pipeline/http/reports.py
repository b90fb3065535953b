"""What the endpoints of the control API and the pages of the web interface are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.balancer.planes import open_balancer
from pipeline.daemon.control import Control
from pipeline.daemon.endpoint_control import EndpointControl
from pipeline.http.live_balancer import LiveBalancer
from pipeline.http.metrics import DaemonMetrics
from pipeline.http.now_report import NowReports
from pipeline.http.traffic_report import TrafficReports

if TYPE_CHECKING:
    from pipeline.daemon.daemon import Daemon
    from pipeline.stacks.stacks import Stacks


@dataclass(frozen=True)
class Reports:
    """The objects of one daemon that make the models of responses. Safe to use from any thread.

    `stacks` is None for a daemon without stacks.
    """

    control: Control
    balancer: LiveBalancer
    endpoints: EndpointControl
    traffic: TrafficReports
    now: NowReports
    metrics: DaemonMetrics
    stacks: Callable[[], Stacks] | None = None

    @classmethod
    def of(cls, daemon: Daemon) -> Reports:
        """Return the reports of a daemon. Reads nothing yet."""
        balancer, store = open_balancer(daemon.home.balancer), daemon.store
        return cls(
            Control(daemon.supervisors, store),
            LiveBalancer(balancer, store.clusters.all, daemon.container_exits.all, plane_reports=daemon.plane_reports),
            EndpointControl(balancer, store.events.record),
            TrafficReports(balancer, daemon.traffic, store.deployments.between),
            NowReports(daemon.home, store, balancer),
            DaemonMetrics(store, daemon.supervisors, balancer),
            daemon.stacks.stacks,
        )
