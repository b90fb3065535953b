"""The control API's endpoints for releases: the list, the difference of two, and plans."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.base.whole_number import whole_number
from pipeline.daemon.control import Control
from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.plan_report import rollback_plan, run_plan
from pipeline.http.queries import PlanQuery, RollbackPlanQuery, read_query
from pipeline.http.release_difference import release_difference
from pipeline.http.release_report import release_responses
from pipeline.http.responses.plan import PlanResponse, RollbackPlanResponse
from pipeline.http.responses.release import DetailedReleaseResponse
from pipeline.http.responses.release_difference import ReleaseDifferenceResponse
from pipeline.runner.context import PipelineContext


class ReleaseApi:
    """Endpoints that read the releases of a daemon's pipelines. They change nothing."""

    def __init__(self, control: Control) -> None:
        self._control = control
        releases = "/v1/pipelines/{pipeline}/releases"
        plan = "/v1/pipelines/{pipeline}/plan"
        self.endpoints = (
            Endpoint(
                "GET",
                releases,
                "The releases, newest first, as `pipeline releases --json` prints them.",
                self._releases,
                gives=DetailedReleaseResponse,
                many=True,
            ),
            Endpoint(
                "GET",
                f"{releases}/{{number}}/compare/{{other}}",
                "What differs between two releases: commits, images and configuration, without values of secrets.",
                self._compare,
                gives=ReleaseDifferenceResponse,
            ),
            Endpoint(
                "GET",
                plan,
                "The steps of a run, as `pipeline plan --json` prints them.",
                self._plan,
                gives=PlanResponse,
                query=PlanQuery,
            ),
            Endpoint(
                "GET",
                f"{plan}/rollback",
                "The steps of a rollback, as `pipeline rollback --plan --json` prints them.",
                self._plan_rollback,
                gives=RollbackPlanResponse,
                query=RollbackPlanQuery,
            ),
        )

    async def _releases(self, request: Request) -> Response:
        context = self._context(request)
        found = await run_in_threadpool(release_responses, context.store, context.pipeline)
        return JSONResponse([each.as_data() for each in found])

    async def _compare(self, request: Request) -> Response:
        context, (before, after) = self._context(request), _releases_in_path(request)
        return json_response(await run_in_threadpool(release_difference, context, before, after))

    async def _plan(self, request: Request) -> Response:
        commit = read_query(request, PlanQuery).commit
        return json_response(await run_in_threadpool(run_plan, self._context(request), commit))

    async def _plan_rollback(self, request: Request) -> Response:
        release = read_query(request, RollbackPlanQuery).release
        return json_response(await run_in_threadpool(rollback_plan, self._context(request), release))

    def _context(self, request: Request) -> PipelineContext:
        return self._control.supervisor(request.path_params["pipeline"]).served_file.pipeline_context


def _releases_in_path(request: Request) -> tuple[int, int]:
    """Return the numbers of two releases."""
    texts = [request.path_params[name] for name in ("number", "other")]
    first, second = map(whole_number, texts)
    if first is None or second is None:
        text = texts[0] if first is None else texts[1]
        raise HTTPException(404, f"{request.path_params['pipeline']} has no release {text[:40]}")
    return first, second
