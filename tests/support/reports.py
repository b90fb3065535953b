"""The reports of a daemon without threads of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pipeline.balancer.planes import open_balancer
from pipeline.balancer.telemetry.traffic_follower import TrafficFollower
from pipeline.base.clock import SYSTEM, Clock
from pipeline.base.home import Home
from pipeline.daemon.container_exits import ContainerExit
from pipeline.daemon.control import Control
from pipeline.daemon.endpoint_control import EndpointControl
from pipeline.http.live_balancer import LiveBalancer
from pipeline.http.metrics import DaemonMetrics
from pipeline.http.now_report import NowReports
from pipeline.http.reports import Reports
from pipeline.http.traffic_report import TrafficReports


def reports_of(
    home: Home,
    control: Control,
    clock: Clock = SYSTEM,
    exits: Callable[[], Mapping[str, ContainerExit]] = dict,
    **changes: Any,
) -> Reports:
    """Return the reports of a home. `changes` replaces some of them."""
    balancer, store = open_balancer(home.balancer), control.store
    found = Reports(
        control,
        LiveBalancer(balancer, store.clusters.all, exits, clock),
        EndpointControl(balancer, store.events.record),
        TrafficReports(balancer, TrafficFollower(balancer.access_log, clock), store.deployments.between),
        NowReports(home, store, balancer),
        DaemonMetrics(store, control.supervisors, balancer),
    )
    return replace(found, **changes)
