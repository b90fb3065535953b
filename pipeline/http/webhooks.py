"""Webhooks over HTTP: a public door that nobody is behind. It lets in what a forge has signed, and little of it.

`webhook_app` is the application, `webhook_config` the way to serve it: with the limits that an application alone cannot
keep, on connections that carry one request each.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Protocol, cast, get_args

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pipeline.base.errors import PenstockError
from pipeline.config.triggers import Forge
from pipeline.http.connections import ConnectionLimits, limited_config
from pipeline.triggers.webhook import (
    LIMIT,
    Delivery,
    IgnoredDelivery,
    WebhookRejected,
    parse_delivery,
    parse_headers,
    too_large,
)

_log = structlog.get_logger(__name__)

_NAME = re.compile(r"[A-Za-z0-9-]{1,32}")
# How much of a refused body is still read, in bytes, and for how long, in seconds.
_LINGER_BYTES, _LINGER_TIME = 256 * 1024, 1
# Few deliveries are larger than this, in bytes.
_SMALL = 256 * 1024
MAX_LARGE_BODIES = 2
"""Bodies of larger deliveries that are read at the same time, so that together they do not fill the memory."""
MAX_CONNECTIONS = 200
"""The oldest connection is closed when there are more."""
_NOBODY = "there is no such webhook here"
_LATER = "it could not be taken in: send it again"
_HEADERS = {503: {"Retry-After": "30"}}


@dataclass(frozen=True)
class Limits:
    """Limits of one server. Times in seconds: GitHub and GitLab give up after 10."""

    body_timeout: float = 15
    connection_timeout: float = 20
    large_bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_LARGE_BODIES))


class Inbox(Protocol):
    """Where deliveries go. Called from several threads at once; nothing of it is called before the path is checked."""

    def secret(self, pipeline: str, forge: Forge) -> str | None:
        """The secret that the forge signs with for this pipeline. None where there is no such pipeline or webhook."""

    def is_replay(self, pipeline: str, digest: str) -> bool:
        """Whether this was asked before for the pipeline and the digest. Remembered at once: of two that ask together,
        one is told True."""

    def accept(self, pipeline: str, delivery: Delivery) -> None:
        """Take a genuine delivery in, quickly: the repository is looked at later. It may not be lost once this returns,
        whatever becomes of this process: it is on disk, or a look at the next start finds what it tells of."""

    def forget(self, pipeline: str, digest: str) -> None:
        """`arrive` failed: what the forge sends again will be no replay."""


def webhook_app(inbox: Inbox, further: Sequence[Route] = (), limits: Limits | None = None) -> Starlette:
    """`POST /webhooks/{pipeline}/{forge}`, and nothing but `further` routes besides.

    202: taken in, or known already. A replay is not answered 409, since forges send again what we did not answer in
    time: that is no fault of theirs, GitLab counts it as one and stops after a few, and to a thief a 202 gives nothing.
    200: genuine, and starts nothing. Otherwise 400, 401, 404, 405, 408, 411, 413, 415, or 503 when it should be sent
    again. Each answer is JSON with a `status` and, unless it is accepted, a `reason`.
    """
    receiver = _Receiver(inbox, limits or Limits())
    app = Starlette(
        routes=[Route("/webhooks/{pipeline}/{forge}", receiver.receive, methods=["POST"]), *further],
        exception_handlers={WebhookRejected: _refuse, HTTPException: _refuse_path, PenstockError: _fail},
    )
    app.router.redirect_slashes = False
    return app


def webhook_config(inbox: Inbox, further: Sequence[Route] = (), limits: Limits | None = None) -> uvicorn.Config:
    """Return how to serve `webhook_app`: `uvicorn.Server(webhook_config(inbox)).run(sockets=[…])`, in any thread.

    A slow client is disconnected. When there are too many connections, the oldest is closed.
    """
    kept = limits or Limits()
    return limited_config(
        webhook_app(inbox, further, kept),
        ConnectionLimits(MAX_CONNECTIONS, lambda: kept.connection_timeout, gives_way=True),
        server_header=False,
        h11_max_incomplete_event_size=16 * 1024,
        timeout_graceful_shutdown=5,
    )


class _Receiver:
    """Takes one delivery after another, many at a time."""

    def __init__(self, inbox: Inbox, limits: Limits) -> None:
        self._inbox = inbox
        self._limits = limits

    async def receive(self, request: Request) -> Response:
        """Read what a forge sends and take it in. Whatever may block does so in a thread."""
        pipeline, forge = _addressed(request)
        secret = await run_in_threadpool(self._inbox.secret, pipeline, forge)
        if not secret:
            raise WebhookRejected(404, _NOBODY)
        _check_length(request)
        parse_headers(forge, request.headers.items(), secret, time.time())
        async with AsyncExitStack() as held:
            body = await self._body(request, held)
            return await run_in_threadpool(self._take, pipeline, forge, request, body, secret)

    async def _body(self, request: Request, held: AsyncExitStack) -> bytes:
        """The body. A large one takes a place among the few that may be, which `held` gives back."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_timeout):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > LIMIT:
                        raise too_large()
                    body += chunk
                    if len(body) - len(chunk) <= _SMALL < len(body):
                        if self._limits.large_bodies.locked():
                            raise WebhookRejected(503, "too many large deliveries at once: send it again")
                        await held.enter_async_context(self._limits.large_bodies)
            return bytes(body)
        except TimeoutError:
            raise WebhookRejected(408, f"the body was not there within {self._limits.body_timeout:g} s") from None
        except ClientDisconnect:
            raise WebhookRejected(400, "the body ends before its length") from None
        finally:
            body.clear()  # what is raised holds on to it until it is answered

    def _take(self, pipeline: str, forge: Forge, request: Request, body: bytes, secret: str) -> Response:
        outcome = parse_delivery(forge, request.headers.items(), body, secret, time.time())
        if isinstance(outcome, IgnoredDelivery):
            return _answer(200, status="ignored", reason=outcome.reason)
        if self._inbox.is_replay(pipeline, outcome.digest):
            _log.warning("webhook repeated", forge=forge, pipeline=pipeline)
            return _answer(202, status="known", reason="this delivery came before")
        try:
            self._inbox.accept(pipeline, outcome)
        except Exception as error:
            self._inbox.forget(pipeline, outcome.digest)
            _log.exception("webhook not accepted", forge=forge, pipeline=pipeline, error=str(error))
            raise WebhookRejected(503, _LATER) from error
        _log.info("webhook accepted", forge=forge, pipeline=pipeline, ref=outcome.ref, sha=outcome.sha)
        return _answer(202, status="accepted", pipeline=pipeline, ref=outcome.ref, sha=outcome.sha)


def _addressed(request: Request) -> tuple[str, Forge]:
    """Whom the path means. Written in any other way than the plain one, it means nobody."""
    pipeline, forge = request.path_params["pipeline"], request.path_params["forge"]
    is_plain = request.scope["raw_path"] == request.scope["path"].encode()
    if not is_plain or not _NAME.fullmatch(pipeline) or forge not in get_args(Forge):
        raise WebhookRejected(404, _NOBODY)
    return pipeline, cast("Forge", forge)


def _check_length(request: Request) -> None:
    """Refuse before it is read what would be too long, or of a length that two who read it may see differently."""
    length, is_chunked = request.headers.get("content-length"), "transfer-encoding" in request.headers
    if length and is_chunked:
        raise WebhookRejected(400, "Content-Length and Transfer-Encoding exclude each other")
    if length is None and not is_chunked:
        raise WebhookRejected(411, "Content-Length is missing")
    if length and int(length) > LIMIT:
        raise too_large()


async def _refuse(request: Request, error: Exception, headers: Mapping[str, str] | None = None) -> Response:
    """Answer and log a refusal, without a word of what was sent but who should have had it."""
    assert isinstance(error, WebhookRejected)
    error.with_traceback(None)  # it holds the body, of which we are rid while the answer lingers
    client = request.client.host if request.client else None
    _log.warning("request refused", client=client, path=_shown(request), status=error.status, reason=error.reason)
    return _answer(error.status, headers, status="refused", reason=error.reason)


async def _refuse_path(request: Request, error: Exception) -> Response:
    """The same for what reaches no route, or with a method that it has not."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    allowed = headers.get("Allow")
    reason = f"it takes {allowed} only" if allowed else "there is nothing of that name here"
    return await _refuse(request, WebhookRejected(error.status_code, reason), headers)


async def _fail(request: Request, error: Exception) -> Response:
    """The same where the fault is ours: a secret that cannot be read, a disk that is full."""
    _log.error("webhook failed", path=_shown(request), error=str(error))
    return await _refuse(request, WebhookRejected(503, _LATER))


def _shown(request: Request) -> str:
    path = request.scope["raw_path"].decode("ascii", "backslashreplace")
    return path if len(path) <= 100 else f"{path[:100]}…"


class _Refusal(JSONResponse):
    """An answer sent at once, on a connection that stays open for a moment more.

    Closed at once on what a client still sends, TCP would throw away the answer with it.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        size = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_TIME):
                while size < _LINGER_BYTES and (message := await receive())["type"] != "http.disconnect":
                    size += len(message["body"])
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _answer(code: int, more: Mapping[str, str] | None = None, **content: str) -> Response:
    headers = {"Connection": "close", **_HEADERS.get(code, {}), **(more or {})}
    return (JSONResponse if code < 400 else _Refusal)(content, code, headers)
