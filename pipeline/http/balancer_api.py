"""The control API's endpoints for the load balancers."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from pipeline.balancer.explanation import Question
from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.live_balancer import LiveBalancer
from pipeline.http.queries import BalancerQuery, ExplainQuery, read_query
from pipeline.http.responses.balancer import BalancerResponse
from pipeline.http.responses.explanation import ExplanationResponse


class BalancerApi:
    """Endpoints that show the load balancers of a machine."""

    def __init__(self, balancer: LiveBalancer) -> None:
        self._balancer = balancer
        self.endpoints = (
            Endpoint(
                "GET",
                "/v1/balancer",
                "The load balancers, as `pipeline balancer --json` prints them.",
                self._report,
                gives=BalancerResponse,
                query=BalancerQuery,
            ),
            Endpoint(
                "GET",
                "/v1/balancer/explain",
                "Where a request, a connection or a packet goes, as `pipeline balancer explain --json` prints it.",
                self._explain,
                gives=ExplanationResponse,
                query=ExplainQuery,
            ),
        )

    async def _report(self, request: Request) -> Response:
        query = read_query(request, BalancerQuery)
        return json_response(await run_in_threadpool(self._balancer.report, query.pipeline or ""))

    async def _explain(self, request: Request) -> Response:
        query = read_query(request, ExplainQuery)
        question = Question(query.url, query.method, query.header, query.source, query.endpoint)
        return json_response(await run_in_threadpool(self._balancer.explanation, question))
