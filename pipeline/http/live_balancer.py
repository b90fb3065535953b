"""The balancer as the views of a daemon read it: often, and by several at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.explanation import Question
from pipeline.balancer.overview import Overview
from pipeline.balancer.recent_health import RecentHealth
from pipeline.balancer.telemetry.recent_traffic import RecentTraffic
from pipeline.base.clock import SYSTEM, Clock
from pipeline.daemon.container_exits import ContainerExit
from pipeline.engine.cluster import ClusterSpec
from pipeline.http.balancer_report import BalancerReport, of_pipeline
from pipeline.http.explanation_report import answer, explanation_response
from pipeline.http.responses.balancer import BalancerResponse
from pipeline.http.responses.explanation import ExplanationResponse

# In seconds, during which the daemon does nothing else.
_MAX_COST = 1.0


class LiveBalancer:
    """Makes the models of the balancer. Changes nothing and starts nothing. Safe to use from any thread.

    `clusters` returns those of the pipelines with several hosts, and `exits` those of containers by name.
    `plane_reports`: see `RecentHealth`.
    """

    def __init__(
        self,
        balancer: BalancerReader,
        clusters: Callable[[], Mapping[str, ClusterSpec]],
        exits: Callable[[], Mapping[str, ContainerExit]],
        clock: Clock = SYSTEM,
        *,
        plane_reports: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._balancer = balancer
        self._clusters = clusters
        self._exits = exits
        self._clock = clock
        self._traffic = RecentTraffic(balancer.access_log, clock)
        self._health = RecentHealth(balancer, plane_reports, clock)

    def report(self, pipeline: str = "") -> BalancerResponse:
        """Return the load balancers of all pipelines, or what concerns one. Raises `PenstockError`."""
        overview = Overview.of(self._balancer, *self._health.read(), self._traffic.read())
        report = BalancerReport(overview, self._clock.now(), self._clusters(), self._exits()).response()
        return of_pipeline(report, pipeline) if pipeline else report

    def explanation(self, question: Question) -> ExplanationResponse:
        """Return what happens to a request. Raises `ConfigError` if it is invalid or takes too long to find out."""
        return explanation_response(answer(self._balancer, question, _MAX_COST))
