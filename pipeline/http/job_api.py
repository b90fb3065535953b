"""The control API's endpoints for scheduled jobs."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.base.errors import ConfigError
from pipeline.base.whole_number import whole_number
from pipeline.daemon.control import Control
from pipeline.daemon.service_control import ServiceControl
from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.job_report import job_responses, job_runs
from pipeline.http.log_file import log_response
from pipeline.http.parameters import read_body
from pipeline.http.queries import JobRunsQuery, OffsetQuery, read_query
from pipeline.http.requests import Act
from pipeline.http.responses.job import JobResponse, JobRunResponse


class JobApi:
    """Endpoints that show the jobs of a daemon's pipelines, run them and cancel their runs."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._services = ServiceControl(control)
        jobs = "/v1/pipelines/{pipeline}/jobs"
        job, runs = f"{jobs}/{{name}}", "/v1/pipelines/{pipeline}/job-runs"
        self.endpoints = (
            Endpoint(
                "GET",
                jobs,
                "The jobs of the active release, with their last runs.",
                self._jobs,
                None,
                JobResponse,
                200,
                many=True,
            ),
            Endpoint(
                "GET",
                runs,
                "The latest runs of jobs, newest first.",
                self._runs,
                gives=JobRunResponse,
                many=True,
                query=JobRunsQuery,
            ),
            Endpoint("GET", f"{runs}/{{number}}/log", "The output of a run.", self._log, query=OffsetQuery),
            Endpoint("POST", f"{job}/run", "Run a job now.", self._run, Act, JobRunResponse, 201),
            Endpoint("POST", f"{job}/cancel", "Cancel the run of a job.", self._cancel, Act, JobRunResponse, 202),
        )

    async def _jobs(self, request: Request) -> Response:
        name = self._pipeline(request)
        found = await run_in_threadpool(job_responses, self._control.store, name)
        return JSONResponse([each.as_data() for each in found])

    async def _runs(self, request: Request) -> Response:
        name, query = self._pipeline(request), read_query(request, JobRunsQuery)
        found = await run_in_threadpool(job_runs, self._control.store, name, query.job, query.limit)
        return JSONResponse([each.as_data() for each in found])

    async def _log(self, request: Request) -> Response:
        name, text = self._pipeline(request), request.path_params["number"]
        number = whole_number(text)
        if number is None:
            raise HTTPException(404, f"no job of {name} has a run {text[:40]}")
        run = await run_in_threadpool(self._control.store.job_runs.get, name, number)
        if run is None:
            raise ConfigError(f"no job of {name} has a run {number}", hint="`pipeline job history` lists the runs")
        path = self._control.home_of(name).job_log(name, run.container)
        return await log_response(path, read_query(request, OffsetQuery).offset)

    async def _run(self, request: Request) -> Response:
        by = (await read_body(request, Act)).by
        name, job = self._pipeline(request), request.path_params["name"]
        run = await run_in_threadpool(self._services.run_job, name, job, by=by)
        return json_response(JobRunResponse.from_run(run), 201)

    async def _cancel(self, request: Request) -> Response:
        by = (await read_body(request, Act)).by
        name, job = self._pipeline(request), request.path_params["name"]
        run = await run_in_threadpool(self._services.cancel_job, name, job, by=by)
        return json_response(JobRunResponse.from_run(run), 202)

    def _pipeline(self, request: Request) -> str:
        """Return the name of a pipeline that the daemon manages."""
        name = str(request.path_params["pipeline"])
        self._control.supervisor(name)
        return name
