"""The traffic of target groups over time, and pages of the access log."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta

from pipeline.balancer.access import LogRecord
from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.log_filter import LogFilter
from pipeline.balancer.registry import Registry
from pipeline.balancer.telemetry.rendering import as_data
from pipeline.balancer.telemetry.traffic_follower import TrafficFollower
from pipeline.balancer.telemetry.traffic_history import TrafficChoice, TrafficStep
from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import did_you_mean
from pipeline.http.queries import AccessLogQuery, TrafficQuery
from pipeline.http.responses.access_log import AccessLogResponse, RequestEntryResponse, TlsEntryResponse
from pipeline.http.responses.traffic import DeploymentMarkResponse, TrafficResponse, TrafficStepResponse
from pipeline.store.records import Deployment

Deployments = Callable[[str | None, datetime, datetime], list[Deployment]]
"""Returns the deployments of a pipeline, or of all, that were in progress between two times."""

# Of the access log, for one page. It takes a quarter of a second.
_MAX_PAGE_BYTES = 16 * 2**20
_ADDRESS = re.compile(r"[0-9a-fA-F.:]*[.:][0-9a-fA-F.:]*|held")


class TrafficReports:
    """What the access log says, for the API, the pages and commands. Safe to use from any thread.

    `follower` reads the log of the same balancer.
    """

    def __init__(self, balancer: BalancerReader, follower: TrafficFollower, deployments: Deployments) -> None:
        self._balancer = balancer
        self._follower = follower
        self._deployments = deployments

    def traffic(self, query: TrafficQuery) -> TrafficResponse:
        """Return requests, errors and response times by step."""
        window = self._follower.window(query.seconds, query.step, self._choice(query))
        begin = window.end - timedelta(seconds=query.seconds)
        return TrafficResponse(
            pipeline=query.pipeline,
            group=query.group,
            since=window.since,
            end=window.end,
            step=query.step,
            steps=[_step(found) for found in window.steps],
            groups=[*window.groups],
            deployments=[
                DeploymentMarkResponse.model_validate(found)
                # Those that began in the present second too.
                for found in self._deployments(query.pipeline, begin, window.end + timedelta(seconds=1))
            ],
        )

    def access_log(self, query: AccessLogQuery, max_bytes: int = _MAX_PAGE_BYTES) -> AccessLogResponse:
        """Return a page of the access log. Raises `ConfigError` for a position or a target that it does not know."""
        wanted = log_filter(self._balancer, query)
        try:
            page = self._balancer.access_log().page(wanted, query.limit, query.before, max_bytes)
        except ValueError as error:
            raise ConfigError(f"before: {error}") from None
        entries = [entry_response(record, position) for position, record in page.records]
        return AccessLogResponse(entries=entries, next=page.next, since=page.since)

    def _choice(self, query: TrafficQuery) -> TrafficChoice:
        others = frozenset[str]()
        if query.pipeline and query.group is None:
            # The service of a stack has its targets in groups of others.
            found = self._balancer.registry().groups_with(f"{query.pipeline}.")
            others = frozenset(f"{owner}.{group}" for owner, group in found)
        return TrafficChoice(query.group, query.pipeline, others)


def log_filter(balancer: BalancerReader, query: AccessLogQuery) -> LogFilter:
    """Return the filter of a query. Raises `ConfigError` for a target that is not registered."""
    return query.log_filter(query.target and _address(balancer.registry(), query.target))


def entry_response(record: LogRecord, position: str | None = None) -> RequestEntryResponse | TlsEntryResponse:
    """Return a record of the access log as it is shown."""
    entry = record.entry()
    data = {**as_data(entry), "position": position}
    return TlsEntryResponse.model_validate(data) if entry.type == "tls" else RequestEntryResponse.model_validate(data)


def _step(found: TrafficStep) -> TrafficStepResponse:
    return TrafficStepResponse(**asdict(found), rate=round(found.requests / found.seconds, 3))


def _address(registry: Registry, target: str) -> str:
    """Return the address and the port of a target by its ID. An address stays as it is."""
    known = {each.target.id: each.target for registered in registry.targets.values() for each in registered}
    if found := known.get(target):
        return f"{found.address}:{found.port}"
    if not _ADDRESS.fullmatch(target):
        raise ConfigError(
            f"target: {target[:80]} is not registered; {did_you_mean(target, known)}".rstrip("; "),
            hint="name a target that is gone by its address, such as 10.1.0.3:8080",
        )
    return target
