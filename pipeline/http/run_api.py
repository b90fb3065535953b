"""The control API's endpoints that read one run: its log, its timeline, and the files of its tests."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from pipeline.daemon.control import Control
from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.log_file import log_response
from pipeline.http.parameters import number_in_query, run_in_path
from pipeline.http.queries import RunLogQuery, read_query
from pipeline.http.responses.artifact import ArtifactResponse
from pipeline.http.responses.run import RunDetailResponse
from pipeline.http.responses.run_log import RunLogResponse
from pipeline.http.responses.timeline import TimelineResponse
from pipeline.http.run_artifacts import ArtifactMissing, OpenArtifact, RunArtifacts
from pipeline.http.run_log import run_log_from, run_log_tail
from pipeline.http.run_report import run_detail
from pipeline.http.run_timelines import RunTimelines


class RunApi:
    """Endpoints that read a run of a daemon's pipeline. They change nothing."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._timelines = RunTimelines(control.store)
        run = "/v1/pipelines/{pipeline}/runs/{number}"
        self.endpoints = (
            Endpoint("GET", run, "One run with its stages and its tests.", self._run, gives=RunDetailResponse),
            Endpoint("GET", f"{run}/log", "A run's log from a byte offset.", self._log),
            Endpoint(
                "GET",
                f"{run}/log/lines",
                "Lines of a run's log from a byte offset, or the last ones. With `from=NEXT`, what was added since.",
                self._log_lines,
                gives=RunLogResponse,
                query=RunLogQuery,
            ),
            Endpoint(
                "GET",
                f"{run}/timeline",
                "What a run did when, as `pipeline timeline --json` prints it.",
                self._timeline,
                gives=TimelineResponse,
            ),
            Endpoint(
                "GET",
                f"{run}/artifacts",
                "The files kept from a run's tests, as `pipeline artifacts --json` prints them.",
                self._artifacts,
                gives=ArtifactResponse,
                many=True,
            ),
            Endpoint("GET", f"{run}/artifacts/{{path:path}}", "A file kept from a run's tests.", self._artifact),
        )

    async def _run(self, request: Request) -> Response:
        def read() -> RunDetailResponse:
            return run_detail(self._control.store, self._control.run(*run_in_path(request)))

        return json_response(await run_in_threadpool(read))

    async def _timeline(self, request: Request) -> Response:
        def read() -> TimelineResponse:
            return self._timelines.of(self._control.run(*run_in_path(request)))

        return json_response(await run_in_threadpool(read))

    async def _artifacts(self, request: Request) -> Response:
        found = await run_in_threadpool(lambda: self._artifacts_of(request).all())
        return JSONResponse([each.as_data() for each in found])

    async def _artifact(self, request: Request) -> Response:
        # The path as the client has sent it: a name may have bytes that are no UTF-8.
        _, _, quoted = request.scope["raw_path"].partition(b"/artifacts/")

        def opened() -> OpenArtifact:
            return self._artifacts_of(request).open(quoted)

        try:
            file = await run_in_threadpool(opened)
        except ArtifactMissing as missing:
            return JSONResponse({"error": missing.message, "hint": missing.hint, "exit_code": missing.exit_code}, 404)
        return StreamingResponse(file.chunks(), headers=file.headers, media_type="application/octet-stream")

    def _artifacts_of(self, request: Request) -> RunArtifacts:
        pipeline, number = run_in_path(request)
        self._control.run(pipeline, number)
        return RunArtifacts(self._control.home_of(pipeline), pipeline, number)

    async def _log(self, request: Request) -> Response:
        pipeline, number = run_in_path(request)
        start = number_in_query(request, "from", 0)
        await run_in_threadpool(self._control.run, pipeline, number)
        return await log_response(self._control.home_of(pipeline).run_log(pipeline, number), start)

    async def _log_lines(self, request: Request) -> Response:
        query, (pipeline, number) = read_query(request, RunLogQuery), run_in_path(request)

        def read() -> RunLogResponse:
            self._control.run(pipeline, number)
            path = self._control.home_of(pipeline).run_log(pipeline, number)
            return run_log_tail(path, query.tail) if query.start is None else run_log_from(path, query.start)

        return json_response(await run_in_threadpool(read))
