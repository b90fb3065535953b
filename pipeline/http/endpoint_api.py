"""The control API's endpoints for the endpoints of gateway load balancers."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.balancer.effective_endpoints import EffectiveEndpoint
from pipeline.daemon.endpoint_control import EndpointControl
from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.endpoint_report import endpoint_responses
from pipeline.http.parameters import read_body
from pipeline.http.requests import Act
from pipeline.http.responses.balancer_endpoint import EndpointResponse
from pipeline.http.responses.effect import EffectResponse


class EndpointApi:
    """Endpoints that show which networks reach a gateway load balancer, and that accept or reject them."""

    def __init__(self, control: EndpointControl) -> None:
        self._control = control
        place = "/v1/balancer/endpoints"
        summary = "The endpoints of gateway load balancers, as `pipeline balancer endpoints --json` prints them."
        accept = "Accept an endpoint: its packets go to its service."
        reject = "Reject an endpoint, also one that was accepted: it carries no packets."
        self.endpoints = (
            Endpoint("GET", place, summary, self._list, gives=EndpointResponse, many=True),
            Endpoint("POST", f"{place}/{{endpoint}}/accept", accept, self._accept, Act, EffectResponse),
            Endpoint("POST", f"{place}/{{endpoint}}/reject", reject, self._reject, Act, EffectResponse),
        )

    async def _list(self, _: Request) -> Response:
        found = await run_in_threadpool(endpoint_responses, self._control.balancer)
        return JSONResponse([each.as_data() for each in found])

    async def _accept(self, request: Request) -> Response:
        return await self._act(request, self._control.accept, "accepted")

    async def _reject(self, request: Request) -> Response:
        return await self._act(request, self._control.reject, "rejected")

    async def _act(
        self, request: Request, decide: Callable[..., tuple[EffectiveEndpoint, bool]], word: str
    ) -> Response:
        by = (await read_body(request, Act)).by
        endpoint, is_changed = await run_in_threadpool(decide, request.path_params["endpoint"], by=by)
        already = "" if is_changed else " already"
        return json_response(EffectResponse(effect=f"endpoint {endpoint.label} is {word}{already}"))
