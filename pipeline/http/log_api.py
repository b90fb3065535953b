"""The control API's endpoints for the output of containers: of services, jobs and accessories."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from starlette.concurrency import run_in_threadpool
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
from pipeline.http.queries import LogQuery, TailQuery, read_query
from pipeline.http.responses.log import AccessoryLogLineResponse, LogLineResponse, LogResponse
from pipeline.runner.context import PipelineContext
from pipeline.store.replica_logs import stamp_of


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
                "The last lines of all replicas and jobs, also of replicas that were removed.",
                self._tail,
                gives=LogResponse,
                query=LogQuery,
            ),
            Endpoint(
                "GET",
                f"{pipeline}/logs/stream",
                "Stream the lines of all replicas and jobs, first the last ones of each, then those to come.",
                self._follow,
                gives=LogLineResponse,
                follows=True,
                query=LogQuery,
            ),
            Endpoint(
                "GET",
                accessory,
                "The last lines of an accessory.",
                self._accessory_tail,
                gives=AccessoryLogLineResponse,
                many=True,
                query=TailQuery,
            ),
            Endpoint(
                "GET",
                f"{accessory}/stream",
                "Stream the lines of an accessory until its container stops.",
                self._follow_accessory,
                gives=AccessoryLogLineResponse,
                follows=True,
                query=TailQuery,
            ),
        )

    async def _tail(self, request: Request) -> Response:
        context, query = self._context(request), read_query(request, LogQuery)
        return json_response(await run_in_threadpool(log_tail, context, _wanted(query), query.tail))

    async def _follow(self, request: Request) -> Response:
        context, query = self._context(request), read_query(request, LogQuery)
        return stream_lines(follow_log(context, _wanted(query), query.tail))

    async def _accessory_tail(self, request: Request) -> Response:
        context, name, tail = self._context(request), request.path_params["name"], read_query(request, TailQuery).tail
        found = await run_in_threadpool(accessory_tail, context, name, tail)
        return JSONResponse([line.as_data() for line in found])

    async def _follow_accessory(self, request: Request) -> Response:
        context, name, tail = self._context(request), request.path_params["name"], read_query(request, TailQuery).tail
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


def _wanted(query: LogQuery) -> Wanted:
    contains = query.contains.encode() if query.contains else b""
    since = _since(query.since) if query.since else b""
    matches = (lambda text: contains in text) if contains else None
    return Wanted(query.service, query.release, since, matches, query.replica)


def _since(text: str) -> bytes:
    """Return the time that was a duration ago, as a line has it."""
    return stamp_of(max(0, time.time_ns() - int(parse_duration(text).total_seconds() * 1e9)))
