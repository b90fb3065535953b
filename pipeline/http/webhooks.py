"""Webhooks over HTTP, from any client. Only deliveries that a forge has signed are accepted.

`webhook_app` is the application. `webhook_config` serves it with limits that an application alone cannot enforce. Each
connection carries one request.
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
from pipeline.base.whole_number import whole_number
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
# The part of a rejected body that is still read: bytes, and seconds.
_DRAIN_BYTES, _DRAIN_TIMEOUT = 256 * 1024, 1
# Bytes. Larger deliveries are rare and count as large bodies.
_LARGE_BODY = 256 * 1024
MAX_LARGE_BODIES = 2
"""The most large bodies that are read at the same time, so that they do not fill the memory."""
MAX_CONNECTIONS = 200
"""Above it, the oldest connection is closed."""
_NO_SUCH_WEBHOOK = "no such webhook"
_RETRY_LATER = "the delivery could not be stored; send it again"
_HEADERS = {503: {"Retry-After": "30"}}


@dataclass(frozen=True)
class Limits:
    """Limits of one server. Times in seconds. GitHub and GitLab stop waiting after 10."""

    body_timeout: float = 15
    connection_timeout: float = 20
    large_bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_LARGE_BODIES))


class Inbox(Protocol):
    """Receives the deliveries. Called from several threads, and only for a valid path."""

    def secret(self, pipeline: str, forge: Forge) -> str | None:
        """Return the secret that the forge signs with for this pipeline. None without such a pipeline or webhook."""

    def is_replay(self, pipeline: str, digest: str) -> bool:
        """Store a delivery. Return True if the pipeline has received it before.

        Atomic: of two calls at the same time, one returns True.
        """

    def accept(self, pipeline: str, delivery: Delivery) -> None:
        """Accept a genuine delivery. Returns quickly; the repository is scanned later.

        The commit must not be lost if the process dies after this returns. It is on disk, or the scan at the next
        start finds it.
        """

    def delete(self, pipeline: str, digest: str) -> None:
        """Delete a delivery after `accept` failed, so that the forge can send it again."""


def webhook_app(inbox: Inbox, further: Sequence[Route] = (), limits: Limits | None = None) -> Starlette:
    """Return the application for `POST /webhooks/{pipeline}/{forge}` and `further` routes.

    202: accepted, or a replay. A replay is not a 409, because forges repeat a delivery whose response came too late,
    and GitLab disables a webhook after a few errors. 200: genuine, but it starts nothing. 503: the forge should send it
    again. Otherwise 400, 401, 404, 405, 408, 411, 413 or 415. Each response is JSON with a `status` and, unless it is
    accepted, a `reason`.
    """
    receiver = _Receiver(inbox, limits or Limits())
    app = Starlette(
        routes=[Route("/webhooks/{pipeline}/{forge}", receiver.receive, methods=["POST"]), *further],
        exception_handlers={WebhookRejected: _reject, HTTPException: _reject_path, PenstockError: _fail},
    )
    app.router.redirect_slashes = False
    return app


def webhook_config(inbox: Inbox, further: Sequence[Route] = (), limits: Limits | None = None) -> uvicorn.Config:
    """Return the configuration of a server for `webhook_app`.

    Run it with `uvicorn.Server(webhook_config(inbox)).run(sockets=[…])`, in any thread. A slow client is disconnected.
    Above the limit of connections, the oldest is closed.
    """
    used = limits or Limits()
    return limited_config(
        webhook_app(inbox, further, used),
        ConnectionLimits(MAX_CONNECTIONS, lambda: used.connection_timeout, abort_oldest=True),
        server_header=False,
        h11_max_incomplete_event_size=16 * 1024,
        timeout_graceful_shutdown=5,
    )


class _Receiver:
    """Handles deliveries, many at the same time."""

    def __init__(self, inbox: Inbox, limits: Limits) -> None:
        self._inbox = inbox
        self._limits = limits

    async def receive(self, request: Request) -> Response:
        """Read, verify and accept a delivery. Blocking calls run in a thread."""
        pipeline, forge = _target_of(request)
        secret = await run_in_threadpool(self._inbox.secret, pipeline, forge)
        if not secret:
            raise WebhookRejected(404, _NO_SUCH_WEBHOOK)
        _check_length(request)
        parse_headers(forge, request.headers.items(), secret, time.time())
        async with AsyncExitStack() as stack:
            body = await self._body(request, stack)
            return await run_in_threadpool(self._take, pipeline, forge, request, body, secret)

    async def _body(self, request: Request, stack: AsyncExitStack) -> bytes:
        """Return the body. A large one takes one of the few slots, which `stack` releases."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_timeout):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > LIMIT:
                        raise too_large()
                    body += chunk
                    if len(body) - len(chunk) <= _LARGE_BODY < len(body):
                        if self._limits.large_bodies.locked():
                            raise WebhookRejected(503, "too many large deliveries at the same time; send it again")
                        await stack.enter_async_context(self._limits.large_bodies)
            return bytes(body)
        except TimeoutError:
            raise WebhookRejected(408, f"the body did not arrive within {self._limits.body_timeout:g} s") from None
        except ClientDisconnect:
            raise WebhookRejected(400, "the body is shorter than its Content-Length") from None
        finally:
            body.clear()  # the raised exception keeps it alive until the response is sent

    def _take(self, pipeline: str, forge: Forge, request: Request, body: bytes, secret: str) -> Response:
        outcome = parse_delivery(forge, request.headers.items(), body, secret, time.time())
        if isinstance(outcome, IgnoredDelivery):
            return _answer(200, status="ignored", reason=outcome.reason)
        if self._inbox.is_replay(pipeline, outcome.digest):
            _log.warning("webhook replayed", forge=forge, pipeline=pipeline)
            return _answer(202, status="known", reason="this delivery was received before")
        try:
            self._inbox.accept(pipeline, outcome)
        except Exception as error:
            self._inbox.delete(pipeline, outcome.digest)
            _log.exception("webhook not accepted", forge=forge, pipeline=pipeline, error=str(error))
            raise WebhookRejected(503, _RETRY_LATER) from error
        _log.info("webhook accepted", forge=forge, pipeline=pipeline, ref=outcome.ref, sha=outcome.sha)
        return _answer(202, status="accepted", pipeline=pipeline, ref=outcome.ref, sha=outcome.sha)


def _target_of(request: Request) -> tuple[str, Forge]:
    """Return the pipeline and the forge of the path. A path with escapes or unusual names is rejected."""
    pipeline, forge = request.path_params["pipeline"], request.path_params["forge"]
    is_plain = request.scope["raw_path"] == request.scope["path"].encode()
    if not is_plain or not _NAME.fullmatch(pipeline) or forge not in get_args(Forge):
        raise WebhookRejected(404, _NO_SUCH_WEBHOOK)
    return pipeline, cast("Forge", forge)


def _check_length(request: Request) -> None:
    """Reject a body that is too long, or whose length is ambiguous (request smuggling), before it is read."""
    length, is_chunked = request.headers.get("content-length"), "transfer-encoding" in request.headers
    if length and is_chunked:
        raise WebhookRejected(400, "Content-Length and Transfer-Encoding must not be combined")
    if length is None and not is_chunked:
        raise WebhookRejected(411, "Content-Length is missing")
    if length and whole_number(length, LIMIT) is None:
        raise too_large()


async def _reject(request: Request, error: Exception, headers: Mapping[str, str] | None = None) -> Response:
    """Respond to and log a rejection. Neither contains anything from the request except its path."""
    assert isinstance(error, WebhookRejected)
    error.with_traceback(None)  # it references the body, which must be freed before the response is drained
    client = request.client.host if request.client else None
    _log.warning("request rejected", client=client, path=_shown(request), status=error.status, reason=error.reason)
    return _answer(error.status, headers, status="refused", reason=error.reason)


async def _reject_path(request: Request, error: Exception) -> Response:
    """Reject a request without a route, or with a method that the route does not accept."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    allowed = headers.get("Allow")
    reason = f"only {allowed} is allowed" if allowed else "not found"
    return await _reject(request, WebhookRejected(error.status_code, reason), headers)


async def _fail(request: Request, error: Exception) -> Response:
    """Reject a delivery because of a fault of this machine, such as an unreadable secret or a full disk."""
    _log.error("webhook failed", path=_shown(request), error=str(error))
    return await _reject(request, WebhookRejected(503, _RETRY_LATER))


def _shown(request: Request) -> str:
    path = request.scope["raw_path"].decode("ascii", "backslashreplace")
    return path if len(path) <= 100 else f"{path[:100]}…"


class _Rejection(JSONResponse):
    """A response that is sent immediately, while the connection stays open for a moment to drain the request.

    If it was closed while the client still sends, TCP would reset it and the client would lose the response.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        size = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_TIMEOUT):
                while size < _DRAIN_BYTES and (message := await receive())["type"] != "http.disconnect":
                    size += len(message["body"])
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _answer(code: int, more: Mapping[str, str] | None = None, **content: str) -> Response:
    headers = {"Connection": "close", **_HEADERS.get(code, {}), **(more or {})}
    return (JSONResponse if code < 400 else _Rejection)(content, code, headers)
