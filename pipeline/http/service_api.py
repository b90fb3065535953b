"""The control API's endpoints for services, their auto scaling, and the hosts of their replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.daemon.control import Control
from pipeline.daemon.service_control import ServiceControl
from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.parameters import read_body
from pipeline.http.requests import Act
from pipeline.http.responses.effect import EffectResponse
from pipeline.http.responses.node import NodeResponse
from pipeline.http.responses.run import RunResponse
from pipeline.http.responses.scaling import ScalingResponse
from pipeline.http.responses.service import ServiceResponse
from pipeline.http.scaling_report import scaling_responses
from pipeline.http.status_report import StatusReport


class ServiceApi:
    """Endpoints that show the services of a daemon's pipelines and act on them.

    To change their number or to replace their containers, queue a run of the
    kind `scale` or `restart`.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._services = ServiceControl(control)
        self.endpoints = (*self._views(), *self._actions())

    def _views(self) -> Iterator[Endpoint]:
        pipeline = "/v1/pipelines/{pipeline}"
        summary = "The services of the active release with their containers."
        yield Endpoint("GET", f"{pipeline}/services", summary, self._list, gives=ServiceResponse, many=True)
        summary = "The services that are scaled automatically."
        yield Endpoint("GET", f"{pipeline}/scaling", summary, self._scaling, gives=ScalingResponse, many=True)
        summary = "The machines that may have replicas. Waits up to 10 s for one that does not answer."
        yield Endpoint("GET", f"{pipeline}/nodes", summary, self._nodes, gives=NodeResponse, many=True)

    def _actions(self) -> Iterator[Endpoint]:
        scaling = "/v1/pipelines/{pipeline}/scaling/{service}"
        summary = "Suspend auto scaling of a service."
        yield Endpoint("POST", f"{scaling}/suspend", summary, self._suspend, Act, EffectResponse)
        yield Endpoint("POST", f"{scaling}/resume", "Resume it.", self._resume, Act, EffectResponse)
        node = "/v1/pipelines/{pipeline}/nodes/{name}"
        summary = "Queue a run that moves the replicas of a host to others."
        yield Endpoint("POST", f"{node}/drain", summary, self._drain, Act, RunResponse, 201)
        summary = "Let a host take replicas again."
        yield Endpoint("POST", f"{node}/resume", summary, self._resume_node, Act, EffectResponse)

    async def _list(self, request: Request) -> Response:
        name = request.path_params["pipeline"]
        found = await run_in_threadpool(lambda: StatusReport.served(self._control, name).services)
        return JSONResponse([each.as_data() for each in found])

    async def _scaling(self, request: Request) -> Response:
        name = request.path_params["pipeline"]
        self._control.supervisor(name)
        found = await run_in_threadpool(scaling_responses, self._control.store, name)
        return JSONResponse([each.as_data() for each in found])

    async def _suspend(self, request: Request) -> Response:
        return await self._act(request, "service", self._services.suspend_scaling, "scaling of {} is suspended{}")

    async def _resume(self, request: Request) -> Response:
        return await self._act(request, "service", self._services.resume_scaling, "scaling of {} is not suspended{}")

    async def _nodes(self, request: Request) -> Response:
        nodes = self._services.nodes(request.path_params["pipeline"])
        found = await run_in_threadpool(nodes.all)
        return JSONResponse([NodeResponse.from_node(each).as_data() for each in found])

    async def _drain(self, request: Request) -> Response:
        by = (await read_body(request, Act)).by
        pipeline, name = request.path_params["pipeline"], request.path_params["name"]
        run = await run_in_threadpool(self._services.drain_node, pipeline, name, by=by)
        return json_response(RunResponse.from_run(run, ()), 201)

    async def _resume_node(self, request: Request) -> Response:
        return await self._act(request, "name", self._services.resume_node, "host {} takes replicas{}")

    async def _act(self, request: Request, key: str, change: Callable[..., bool], text: str) -> Response:
        """Change something that may be as wanted already, and say how it is now."""
        by = (await read_body(request, Act)).by
        name = request.path_params[key]
        is_changed = await run_in_threadpool(change, request.path_params["pipeline"], name, by=by)
        return json_response(EffectResponse(effect=text.format(name, "" if is_changed else " already")))
