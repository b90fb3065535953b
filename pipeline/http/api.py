"""The control API: JSON over HTTP on a socket that only its owner may open, or on an address with a token."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pipeline import __version__
from pipeline.base.errors import ConfigError, PenstockError
from pipeline.daemon.control import Control
from pipeline.http.openapi import describe
from pipeline.http.requests import ApprovalBody, Body, RunBody, TransitionBody
from pipeline.http.responses import event_data, pipeline_data, run_data
from pipeline.store import queue
from pipeline.store.records import LAST_EVENTS, Run, RunOptions, Trigger

_LOOK = 0.05
# A run is over a moment before its last event is written; whoever has seen that already need not wait for long.
_GRACE = 2.0
_LARGEST = 64 * 1024
_HEARTBEAT = 15.0
B = TypeVar("B", bound=Body)


@dataclass(frozen=True)
class Endpoint:
    """One thing that can be asked. `summary` is for the description, `takes` the body's form."""

    method: str
    path: str
    summary: str
    answer: Callable[[Request], Awaitable[Response]]
    takes: type[Body] | None = None


class ControlApi:
    """The application. `token` is asked of everybody where it is given."""

    def __init__(self, control: Control, token: str | None = None) -> None:
        self._control = control
        self._store = control.store
        self._token = token
        run = "/v1/pipelines/{pipeline}/runs/{number:int}"
        self.endpoints = (
            Endpoint("GET", "/v1", "The daemon: its version and pipelines.", self._daemon),
            Endpoint("GET", "/v1/pipelines/{pipeline}", "What serves, and what is being done.", self._pipeline),
            Endpoint("GET", "/v1/pipelines/{pipeline}/runs", "The latest runs, newest first.", self._runs),
            Endpoint("POST", "/v1/pipelines/{pipeline}/runs", "Queue a run.", self._submit, RunBody),
            Endpoint("GET", run, "One run with its stages.", self._run),
            Endpoint("POST", f"{run}/cancel", "Give up a run.", self._cancel),
            Endpoint("POST", f"{run}/retry", "Queue a run again that did not succeed.", self._retry),
            Endpoint("POST", f"{run}/approval", "Approve or reject a run that waits.", self._decide, ApprovalBody),
            Endpoint("GET", f"{run}/events", "A run's events as they come, from an id on.", self._follow_run),
            Endpoint("GET", f"{run}/log", "A run's log from a byte on.", self._log),
            Endpoint("GET", "/v1/events", "All events as they come, from an id on.", self._follow_all),
            Endpoint(
                "PUT",
                "/v1/pipelines/{pipeline}/transitions/{stage}",
                "Let no run into a stage.",
                self._close,
                TransitionBody,
            ),
            Endpoint("DELETE", "/v1/pipelines/{pipeline}/transitions/{stage}", "Let runs into it again.", self._open),
            Endpoint("GET", "/openapi.json", "This description.", self._describe),
        )

    def app(self) -> Starlette:
        """What a server serves."""
        routes = [Route(e.path, self._guarded(e.answer), methods=[e.method]) for e in self.endpoints]
        return Starlette(routes=routes, exception_handlers={PenstockError: _failed, HTTPException: _refused})

    def _guarded(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
            if self._token is not None and not hmac.compare_digest(given, self._token.encode()):
                raise HTTPException(401, "say Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
            return await answer(request)

        return guarded

    # Looking

    async def _daemon(self, _: Request) -> Response:
        names = list(self._control.supervisors)
        return JSONResponse({"version": __version__, "pipelines": names})

    async def _describe(self, _: Request) -> Response:
        return JSONResponse(describe([(e.method, e.path, e.summary, e.takes) for e in self.endpoints]))

    async def _pipeline(self, request: Request) -> Response:
        supervisor = self._control.supervisor(request.path_params["pipeline"])
        return JSONResponse(await run_in_threadpool(pipeline_data, self._store, supervisor))

    async def _runs(self, request: Request) -> Response:
        name, limit = request.path_params["pipeline"], _number(request, "limit", 20)
        self._control.supervisor(name)
        runs = await run_in_threadpool(
            lambda: [run_data(self._store, run) for run in self._store.runs.latest(name, min(limit, 1000))]
        )
        return JSONResponse(runs)

    async def _run(self, request: Request) -> Response:
        run = await run_in_threadpool(self._control.run, *_named(request))
        return await self._shown(run)

    async def _log(self, request: Request) -> Response:
        pipeline, number = _named(request)
        await run_in_threadpool(self._control.run, pipeline, number)
        path = self._control.home_of(pipeline).run_log(pipeline, number)
        start = _number(request, "from", 0)

        def read() -> bytes:
            try:
                with path.open("rb") as file:
                    file.seek(start)
                    return file.read(2**20)
            except FileNotFoundError:
                return b""

        content: bytes = await run_in_threadpool(read)
        headers = {"X-Next-Offset": str(start + len(content))}
        return PlainTextResponse(content, headers=headers, media_type="application/jsonl")

    # Asking for something

    async def _submit(self, request: Request) -> Response:
        body = await _body(request, RunBody)
        options = RunOptions(body.configuration, body.parameters, body.force)
        asked = queue.RunRequest(Trigger.COMMAND, body.requested, body.kind, options=options)
        run = await run_in_threadpool(self._control.submit, request.path_params["pipeline"], asked)
        return await self._shown(run, 201)

    async def _cancel(self, request: Request) -> Response:
        run = await run_in_threadpool(self._control.cancel, *_named(request))
        return await self._shown(run, 202)

    async def _retry(self, request: Request) -> Response:
        run = await run_in_threadpool(self._control.retry, *_named(request))
        return await self._shown(run, 201)

    async def _decide(self, request: Request) -> Response:
        body = await _body(request, ApprovalBody)

        def decide() -> Any:
            pipeline, number = _named(request)
            return self._control.decide(pipeline, number, granted=body.granted, by=body.by, comment=body.comment)

        return await self._shown(await run_in_threadpool(decide))

    async def _close(self, request: Request) -> Response:
        body = await _body(request, TransitionBody)
        await run_in_threadpool(self._control.disable_transition, *_transition(request), body.reason)
        return Response(status_code=204)

    async def _open(self, request: Request) -> Response:
        await run_in_threadpool(self._control.enable_transition, *_transition(request))
        return Response(status_code=204)

    async def _shown(self, run: Run, code: int = 200) -> Response:
        return JSONResponse(await run_in_threadpool(run_data, self._store, run), code)

    # Following

    async def _follow_run(self, request: Request) -> Response:
        pipeline, number = _named(request)
        await run_in_threadpool(self._control.run, pipeline, number)
        return _stream(self._events(_after(request), pipeline, number))

    async def _follow_all(self, request: Request) -> Response:
        return _stream(self._events(_after(request)))

    async def _events(self, last: int, pipeline: str | None = None, run: int | None = None) -> AsyncIterator[str]:
        """Events from the one after `last` on; of a run, until it is over."""
        silent = ended = 0.0
        while True:
            over = run is not None and await run_in_threadpool(self._is_over, pipeline or "", run)
            found = await run_in_threadpool(self._store.events.after, pipeline, last, run=run)
            for number, event in found:
                last, silent = number, 0.0
                yield f"id: {number}\nevent: {event.kind}\ndata: {json.dumps(event_data(number, event))}\n\n"
            ended += _LOOK if over else 0.0
            if run is not None and (ended > _GRACE or any(event.kind in LAST_EVENTS for _, event in found)):
                return
            if silent > _HEARTBEAT:
                silent = 0.0
                yield ": still here\n\n"
            await asyncio.sleep(_LOOK)
            silent += _LOOK

    def _is_over(self, pipeline: str, number: int) -> bool:
        run = self._store.runs.get(pipeline, number)
        return run is None or run.state.over


async def _body(request: Request, form: type[B]) -> B:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _LARGEST:
            raise HTTPException(413, f"more than {_LARGEST >> 10} KiB")
    try:
        return form.model_validate_json(content or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        raise HTTPException(400, f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from None


def _named(request: Request) -> tuple[str, int]:
    return request.path_params["pipeline"], request.path_params["number"]


def _transition(request: Request) -> tuple[str, str]:
    stage = request.path_params["stage"]
    if stage not in queue.STAGES:
        raise ConfigError(f"there is no stage {stage}", hint=f"the stages are {', '.join(queue.STAGES)}")
    return request.path_params["pipeline"], stage


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise HTTPException(400, f"{name}: must be a number, not {text[:40]!r}")
    return int(text)


def _after(request: Request) -> int:
    """Where a follower was: what a browser that connects again sends, or what anybody writes."""
    header = request.headers.get("last-event-id", "")
    return int(header) if header.isascii() and header.isdigit() else _number(request, "after", 0)


def _stream(events: AsyncIterator[str]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, PenstockError)
    code = 409 if isinstance(error, ConfigError) else 503
    return JSONResponse({"error": error.message, "hint": error.hint, "exit_code": error.exit_code}, code)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    content = {"error": error.detail, "hint": None, "exit_code": 2}
    return JSONResponse(content, error.status_code, headers=dict(error.headers or {}))
