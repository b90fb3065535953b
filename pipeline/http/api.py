"""The control API: JSON over HTTP, on a socket that only its owner can open or on an address with a token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipeline import __version__
from pipeline.base.clock import SYSTEM, Clock
from pipeline.base.errors import ConfigError, ExitCode, PenstockError
from pipeline.http.accessory_api import AccessoryApi
from pipeline.http.balancer_api import BalancerApi
from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.endpoint_api import EndpointApi
from pipeline.http.event_api import EventApi
from pipeline.http.job_api import JobApi
from pipeline.http.log_api import LogApi
from pipeline.http.metrics import CONTENT_TYPE
from pipeline.http.now_api import NowApi
from pipeline.http.openapi import describe
from pipeline.http.parameters import number_in_query, read_body, run_in_path, transition_in_path
from pipeline.http.release_api import ReleaseApi
from pipeline.http.reports import Reports
from pipeline.http.requests import (
    ActOnRun,
    AnswerDeployment,
    DecideApproval,
    DisableTransition,
    EnableTransition,
    SubmitRun,
)
from pipeline.http.responses.body import ErrorResponse
from pipeline.http.responses.daemon import DaemonResponse, PipelineResponse
from pipeline.http.responses.deployment import DeploymentAnswerResponse
from pipeline.http.responses.release import ReleaseResponse
from pipeline.http.responses.run import RunResponse
from pipeline.http.responses.status import ReportResponse
from pipeline.http.run_api import RunApi
from pipeline.http.service_api import ServiceApi
from pipeline.http.stack_api import StackApi
from pipeline.http.status_report import StatusReport
from pipeline.http.traffic_api import TrafficApi
from pipeline.store import queue
from pipeline.store.records import Run, RunOptions, Trigger


class ControlApi:
    """The control API as an application. With a `token`, every request must carry it."""

    def __init__(
        self,
        reports: Reports,
        token: str | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._control = control = reports.control
        self._store = control.store
        self._token = token
        self._found_metrics = reports.metrics
        groups = (
            AccessoryApi(control),
            BalancerApi(reports.balancer),
            EndpointApi(reports.endpoints),
            EventApi(control, clock),
            JobApi(control),
            LogApi(control),
            NowApi(control, reports.now),
            ReleaseApi(control),
            RunApi(control),
            ServiceApi(control),
            StackApi(reports.stacks, control.store),
            TrafficApi(reports.traffic),
        )
        grouped = (endpoint for group in groups for endpoint in group.endpoints)
        self.endpoints = (*self._views(), *self._actions(), *grouped)

    def _views(self) -> Sequence[Endpoint]:
        pipeline = "/v1/pipelines/{pipeline}"
        return (
            Endpoint("GET", "/v1", "The daemon: its version and pipelines.", self._daemon, gives=DaemonResponse),
            Endpoint(
                "GET",
                pipeline,
                "A pipeline: its active release and its latest run.",
                self._pipeline,
                gives=PipelineResponse,
            ),
            Endpoint(
                "GET",
                f"{pipeline}/status",
                "A pipeline's status, as `pipeline status` prints it.",
                self._status,
                gives=ReportResponse,
            ),
            Endpoint(
                "GET",
                f"{pipeline}/runs",
                "The latest runs, newest first.",
                self._runs,
                gives=RunResponse,
                many=True,
            ),
            Endpoint("GET", "/metrics", "Metrics of runs and load balancers, for Prometheus.", self._metrics),
            Endpoint("GET", "/openapi.json", "This OpenAPI description.", self._describe),
        )

    def _actions(self) -> Sequence[Endpoint]:
        runs = "/v1/pipelines/{pipeline}/runs"
        run = f"{runs}/{{number}}"
        deployment = "/v1/pipelines/{pipeline}/deployment"
        stage = "/v1/pipelines/{pipeline}/transitions/{stage}"
        return (
            Endpoint("POST", runs, "Queue a run.", self._submit, SubmitRun, RunResponse, 201),
            Endpoint("POST", f"{run}/cancel", "Cancel a run.", self._cancel, ActOnRun, RunResponse, 202),
            Endpoint(
                "POST",
                f"{run}/retry",
                "Queue a new run for the commit of a run that did not succeed.",
                self._retry,
                ActOnRun,
                RunResponse,
                201,
            ),
            Endpoint(
                "POST",
                f"{run}/approval",
                "Approve or reject a run that waits for approval.",
                self._decide,
                DecideApproval,
                RunResponse,
            ),
            Endpoint(
                "POST",
                f"{deployment}/promote",
                "Continue the deployment that waits: end its pause or its present bake time.",
                self._promote,
                AnswerDeployment,
                DeploymentAnswerResponse,
            ),
            Endpoint(
                "POST",
                f"{deployment}/abort",
                "Roll the deployment in progress back.",
                self._abort,
                AnswerDeployment,
                DeploymentAnswerResponse,
                202,
            ),
            Endpoint("PUT", stage, "Disable the transition into a stage.", self._disable, DisableTransition, code=204),
            Endpoint("DELETE", stage, "Enable the transition into a stage.", self._enable, EnableTransition, code=204),
        )

    def app(self) -> Starlette:
        """Return the application, with all endpoints behind the check of the token."""
        routes = [Route(e.path, self._authorized(e.handler), methods=[e.method]) for e in self.endpoints]
        return Starlette(routes=routes, exception_handlers={PenstockError: _fail, HTTPException: _refuse})

    def _authorized(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def authorized(request: Request) -> Response:
            given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
            if self._token is not None and not hmac.compare_digest(given, self._token.encode()):
                raise HTTPException(
                    401,
                    "missing or wrong token: send the header Authorization: Bearer TOKEN",
                    {"WWW-Authenticate": "Bearer"},
                )
            return await handler(request)

        return authorized

    # Queries

    async def _daemon(self, _: Request) -> Response:
        files = {name: str(found.served_file.file) for name, found in self._control.supervisors.items()}
        return json_response(DaemonResponse(version=__version__, pipelines=list(files), files=files))

    async def _describe(self, _: Request) -> Response:
        return JSONResponse(await run_in_threadpool(describe, self.endpoints))

    async def _metrics(self, _: Request) -> Response:
        return PlainTextResponse(await run_in_threadpool(self._found_metrics.text), media_type=CONTENT_TYPE)

    async def _pipeline(self, request: Request) -> Response:
        return json_response(await run_in_threadpool(self._pipeline_response, request.path_params["pipeline"]))

    async def _status(self, request: Request) -> Response:
        def read() -> ReportResponse:
            report = StatusReport.served(self._control, request.path_params["pipeline"])
            return ReportResponse(data=report.data(), text=report.text().to_json())

        return json_response(await run_in_threadpool(read))

    async def _runs(self, request: Request) -> Response:
        name, limit = request.path_params["pipeline"], number_in_query(request, "limit", 20)
        self._control.supervisor(name)
        runs = await run_in_threadpool(
            lambda: [self._run_response(run).as_data() for run in self._store.runs.latest(name, min(limit, 1000))]
        )
        return JSONResponse(runs)

    # Commands

    async def _submit(self, request: Request) -> Response:
        body = await read_body(request, SubmitRun)
        options = RunOptions(
            body.configuration, body.parameters, force=body.force, pull=body.pull, no_cache=body.no_cache
        )
        requested = queue.RunRequest(Trigger.COMMAND, body.requested, body.kind, options=options, by=body.by)
        run = await run_in_threadpool(
            self._control.submit, request.path_params["pipeline"], requested, strict=body.strict
        )
        return await self._respond_with_run(run, 201)

    async def _cancel(self, request: Request) -> Response:
        by = (await read_body(request, ActOnRun)).by
        run = await run_in_threadpool(self._control.cancel, *run_in_path(request), by=by)
        return await self._respond_with_run(run, 202)

    async def _retry(self, request: Request) -> Response:
        by = (await read_body(request, ActOnRun)).by
        run = await run_in_threadpool(self._control.retry, *run_in_path(request), by=by)
        return await self._respond_with_run(run, 201)

    async def _decide(self, request: Request) -> Response:
        body = await read_body(request, DecideApproval)

        def decide() -> Any:
            pipeline, number = run_in_path(request)
            return self._control.decide(pipeline, number, granted=body.granted, by=body.by, comment=body.comment)

        return await self._respond_with_run(await run_in_threadpool(decide))

    async def _promote(self, request: Request) -> Response:
        body, name = await read_body(request, AnswerDeployment), request.path_params["pipeline"]
        effect = await run_in_threadpool(self._control.promote, name, by=body.by, service=body.service)
        return json_response(DeploymentAnswerResponse(effect=effect))

    async def _abort(self, request: Request) -> Response:
        body, name = await read_body(request, AnswerDeployment), request.path_params["pipeline"]
        effect = await run_in_threadpool(
            self._control.abort, name, by=body.by, comment=body.comment, service=body.service
        )
        return json_response(DeploymentAnswerResponse(effect=effect), 202)

    async def _disable(self, request: Request) -> Response:
        body = await read_body(request, DisableTransition)
        await run_in_threadpool(self._control.disable_transition, *transition_in_path(request), body.reason, by=body.by)
        return Response(status_code=204)

    async def _enable(self, request: Request) -> Response:
        by = (await read_body(request, EnableTransition)).by
        await run_in_threadpool(self._control.enable_transition, *transition_in_path(request), by=by)
        return Response(status_code=204)

    async def _respond_with_run(self, run: Run, code: int = 200) -> Response:
        return json_response(await run_in_threadpool(self._run_response, run), code)

    def _run_response(self, run: Run) -> RunResponse:
        return RunResponse.from_run(run, self._store.runs.stages(run.pipeline, run.number))

    def _pipeline_response(self, name: str) -> PipelineResponse:
        supervisor = self._control.supervisor(name)
        active = self._store.releases.active(name)
        runs = self._store.runs.latest(name, limit=1)
        return PipelineResponse(
            name=name,
            file=str(supervisor.served_file.file),
            ready=supervisor.ready.is_set(),
            release=ReleaseResponse.model_validate(active) if active else None,
            last_run=self._run_response(runs[0]) if runs else None,
            disabled_transitions=dict(self._store.transitions.disabled(name)),
        )


async def _fail(_: Request, error: Exception) -> Response:
    assert isinstance(error, PenstockError)
    content = ErrorResponse(error=error.message, hint=error.hint, exit_code=error.exit_code)
    return json_response(content, 409 if isinstance(error, ConfigError) else 503)


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    content = ErrorResponse(error=error.detail, hint=None, exit_code=ExitCode.BAD_CONFIGURATION)
    answer = json_response(content, error.status_code)
    answer.headers.update(error.headers or {})
    return answer
