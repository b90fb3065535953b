"""The control API's endpoints for the traffic of the load balancers."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.queries import AccessLogQuery, TrafficQuery, read_query
from pipeline.http.responses.access_log import AccessLogResponse
from pipeline.http.responses.traffic import TrafficResponse
from pipeline.http.traffic_report import TrafficReports


class TrafficApi:
    """Endpoints that read the access log."""

    def __init__(self, reports: TrafficReports) -> None:
        self._reports = reports
        self.endpoints = (
            Endpoint(
                "GET",
                "/v1/traffic",
                "Requests, errors and response times by step, as `pipeline balancer traffic --json` prints them.",
                self._traffic,
                gives=TrafficResponse,
                query=TrafficQuery,
            ),
            Endpoint(
                "GET",
                "/v1/access-log",
                "Entries of the access log, newest first, as `pipeline balancer log --json` prints them.",
                self._access_log,
                gives=AccessLogResponse,
                query=AccessLogQuery,
            ),
        )

    async def _traffic(self, request: Request) -> Response:
        query = read_query(request, TrafficQuery)
        return json_response(await run_in_threadpool(self._reports.traffic, query))

    async def _access_log(self, request: Request) -> Response:
        query = read_query(request, AccessLogQuery)
        return json_response(await run_in_threadpool(self._reports.access_log, query))
