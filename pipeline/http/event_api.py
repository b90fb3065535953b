"""The control API's endpoints for events: streams, and pages of those that were written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from pipeline.base.clock import Clock
from pipeline.daemon.control import Control
from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.event_page import event_filter, event_page
from pipeline.http.event_stream import stream_events
from pipeline.http.parameters import events_after, run_in_path
from pipeline.http.queries import EventPageQuery, EventStartQuery, EventStreamQuery, Query, read_query
from pipeline.http.responses.event import EventPageResponse, EventResponse
from pipeline.store.event_follower import EventFollower

Handler = Callable[[Request], Awaitable[Response]]


class EventApi:
    """Endpoints for the events of a daemon's pipelines. Without a pipeline in the path, for those of all."""

    def __init__(self, control: Control, clock: Clock) -> None:
        self._control = control
        self._store = control.store
        self._clock = clock
        pipeline = "/v1/pipelines/{pipeline}"
        self.endpoints = (
            _stream(
                f"{pipeline}/runs/{{number}}/events",
                "Stream a run's events after an id, until the run has finished.",
                self._follow_run,
                EventStartQuery,
            ),
            Endpoint(
                "GET",
                "/v1/events/list",
                "Events of all pipelines, newest first.",
                self._list,
                gives=EventPageResponse,
                query=EventPageQuery,
            ),
            Endpoint(
                "GET",
                f"{pipeline}/events/list",
                "A pipeline's events, newest first.",
                self._list,
                gives=EventPageResponse,
                query=EventPageQuery,
            ),
            _stream("/v1/events", "Stream the events of all pipelines after an id.", self._follow),
            _stream(f"{pipeline}/events", "Stream a pipeline's events after an id.", self._follow),
        )

    async def _follow_run(self, request: Request) -> Response:
        pipeline, number = run_in_path(request)
        await run_in_threadpool(self._control.run, pipeline, number)
        last = await run_in_threadpool(self._last, request)
        follower = EventFollower(self._store, self._clock, last, pipeline=pipeline, run=number)
        return stream_events(follower, self._store.changes, self._clock)

    async def _follow(self, request: Request) -> Response:
        pipeline = self._pipeline(request)
        wanted = event_filter(read_query(request, EventStreamQuery), pipeline)
        last = await run_in_threadpool(self._last, request)
        follower = EventFollower(self._store, self._clock, last, wanted=wanted)
        return stream_events(follower, self._store.changes, self._clock)

    async def _list(self, request: Request) -> Response:
        pipeline, query = self._pipeline(request), read_query(request, EventPageQuery)
        if query.run is not None and pipeline is None:
            raise HTTPException(400, "run: requires a pipeline, as in /v1/pipelines/NAME/events/list")
        return json_response(await run_in_threadpool(event_page, self._store, pipeline, query))

    def _pipeline(self, request: Request) -> str | None:
        """Return the pipeline in the path. Raises `ConfigError` if the daemon does not manage it."""
        name: str | None = request.path_params.get("pipeline")
        if name is not None:
            self._control.supervisor(name)
        return name

    def _last(self, request: Request) -> int:
        """Return the id after which a stream starts. `now` stands for that of the latest event."""
        last = events_after(request)
        return self._store.events.last_id() if last is None else last


def _stream(path: str, summary: str, handler: Handler, query: type[Query] = EventStreamQuery) -> Endpoint:
    return Endpoint("GET", path, summary, handler, gives=EventResponse, follows=True, query=query)
