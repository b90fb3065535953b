"""The control API's endpoints for the output of containers: of services, jobs and accessories."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.accessories.latest_container import latest_container
from pipeline.base.quantity import parse_duration
from pipeline.daemon.control import Control
from pipeline.engine import hosts
from pipeline.http.accessory_log import AccessoryLog
from pipeline.http.app_log import AppFollower, Wanted, read_tail
from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.line_stream import Poll, stream_lines
from pipeline.http.logged_app import line_response, logged_app
from pipeline.http.parameters import number_in_query
from pipeline.http.responses.log import AccessoryLogLineResponse, LogLineResponse, LogResponse
from pipeline.runner.context import PipelineContext
from pipeline.store.replica_logs import stamp_of

_DEFAULT_TAIL, _MAX_TAIL = 200, 10_000


class LogApi:
    """Endpoints that read the output of containers, also of other hosts. Secrets are masked."""

    def __init__(self, control: Control) -> None:
        self._control = control
        pipeline = "/v1/pipelines/{pipeline}"
        accessory = f"{pipeline}/accessories/{{name}}/logs"
        self.endpoints = (
            Endpoint(
                "GET",
                f"{pipeline}/logs",
                "The last `?tail=` lines of all replicas and jobs, of `?service=`, `?release=`, since `?since=10m`, "
                "with the text `?contains=`.",
                self._tail,
                gives=LogResponse,
            ),
            Endpoint(
                "GET",
                f"{pipeline}/logs/stream",
                "Stream these lines, also of replicas that are started later. It begins with `?tail=` lines of each.",
                self._follow,
                gives=LogLineResponse,
                follows=True,
            ),
            Endpoint(
                "GET",
                accessory,
                "The last `?tail=` lines of an accessory.",
                self._accessory_tail,
                gives=AccessoryLogLineResponse,
                many=True,
            ),
            Endpoint(
                "GET",
                f"{accessory}/stream",
                "Stream the lines of an accessory until its container stops, from the last `?tail=` on.",
                self._follow_accessory,
                gives=AccessoryLogLineResponse,
                follows=True,
            ),
        )

    async def _tail(self, request: Request) -> Response:
        context, wanted, tail = self._context(request), _wanted(request), _lines_in_query(request)
        return json_response(await run_in_threadpool(log_tail, context, wanted, tail))

    async def _follow(self, request: Request) -> Response:
        context, wanted, tail = self._context(request), _wanted(request), _lines_in_query(request)
        return stream_lines(follow_log(context, wanted, tail))

    async def _accessory_tail(self, request: Request) -> Response:
        context, name, tail = self._context(request), request.path_params["name"], _lines_in_query(request)
        found = await run_in_threadpool(accessory_tail, context, name, tail)
        return JSONResponse([line.as_data() for line in found])

    async def _follow_accessory(self, request: Request) -> Response:
        context, name, tail = self._context(request), request.path_params["name"], _lines_in_query(request)
        # An accessory without a container is an error of the request.
        await run_in_threadpool(_check_accessory, context, name)
        return stream_lines(follow_accessory(context, name, tail))

    def _context(self, request: Request) -> PipelineContext:
        return self._control.supervisor(request.path_params["pipeline"]).served_file.pipeline_context


def log_tail(context: PipelineContext, wanted: Wanted, tail: int) -> LogResponse:
    """Return the last lines of a pipeline's replicas and jobs. Raises `EngineFault` if no engine answers."""
    with logged_app(context) as app:
        lines = [line_response(entry, context) for entry in read_tail(app, wanted, tail)]
        return LogResponse(lines=lines, missing=app.hosts.reasons)


@contextmanager
def follow_log(context: PipelineContext, wanted: Wanted, tail: int) -> Iterator[Poll]:
    """Yield what returns the new lines of a pipeline's replicas and jobs, at first the last ones of each replica."""
    with logged_app(context) as app, closing(AppFollower(app, wanted, tail)) as follower:
        yield lambda: [line_response(entry, context) for entry in follower.poll()]


def accessory_tail(context: PipelineContext, name: str, tail: int) -> list[AccessoryLogLineResponse]:
    """Return the last lines of an accessory, none if the engine keeps none.

    Raises `ConfigError` if it has no container.
    """
    with closing(hosts.local_console(context.home.id)) as console:
        container = latest_container(console.containers(context.pipeline), name)
        with closing(AccessoryLog(console, container, follow=False, tail=tail)) as log:
            return list(log.all(context.mask))


@contextmanager
def follow_accessory(context: PipelineContext, name: str, tail: int) -> Iterator[Poll]:
    """Yield what returns the new lines of an accessory. Raises `ConfigError` without a container."""
    with closing(hosts.local_console(context.home.id)) as console:
        container = latest_container(console.containers(context.pipeline), name)
        with closing(AccessoryLog(console, container, follow=True, tail=tail)) as log:
            yield lambda: log.poll(context.mask)


def _check_accessory(context: PipelineContext, name: str) -> None:
    with closing(hosts.local_console(context.home.id)) as console:
        latest_container(console.containers(context.pipeline), name)


def _wanted(request: Request) -> Wanted:
    query = request.query_params
    contains = query.get("contains", "").encode()
    return Wanted(
        query.get("service") or None,
        number_in_query(request, "release", 0) or None,
        _since(query["since"]) if query.get("since") else b"",
        (lambda text: contains in text) if contains else None,
    )


def _since(text: str) -> bytes:
    """Return the time that was a duration ago, as a line has it."""
    try:
        return stamp_of(max(0, time.time_ns() - int(parse_duration(text).total_seconds() * 1e9)))
    except (ValueError, OverflowError) as error:
        raise HTTPException(400, f"since: {error}") from None


def _lines_in_query(request: Request) -> int:
    tail = number_in_query(request, "tail", _DEFAULT_TAIL)
    if tail > _MAX_TAIL:
        raise HTTPException(400, f"tail: must be at most {_MAX_TAIL}, got {tail}")
    return tail
