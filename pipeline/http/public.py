"""The public address of the daemon: webhooks, badges and the CCTray feed.

A badge and the feed show the state of a pipeline only: no commit, no log, no reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.http.badge import Project, badge_svg, cc_xml
from pipeline.http.webhooks import Inbox, webhook_config
from pipeline.store.records import RunKind, RunState
from pipeline.store.store import Store

# The latest runs that are searched for one with a verdict. Without one the state is unknown.
_MAX_RUNS = 50
_WITHOUT_VERDICT = frozenset({RunState.SUPERSEDED, RunState.SKIPPED, RunState.CANCELLED})
# Caches must revalidate, because an old badge is wrong.
_HEADERS = {
    "Cache-Control": "no-cache",
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


def public_config(inbox: Inbox, store: Store, pipelines: Collection[str]) -> uvicorn.Config:
    """Return the configuration of a server for webhooks, `GET /badge/{pipeline}.svg` and `GET /cc.xml`.

    The limits are those of `webhook_config`. `pipelines` are the visible ones, and may change while the server runs.
    """
    status_pages = _StatusPages(store, pipelines)
    return webhook_config(
        inbox, [Route("/badge/{pipeline}.svg", status_pages.badge), Route("/cc.xml", status_pages.feed)]
    )


class _StatusPages:
    """The states of pipelines, as images and as a feed."""

    def __init__(self, store: Store, pipelines: Collection[str]) -> None:
        self._store = store
        self._pipelines = pipelines

    async def badge(self, request: Request) -> Response:
        """Return the badge for the latest run with a verdict about a commit."""
        pipeline = request.path_params["pipeline"]
        if pipeline not in self._pipelines:
            raise HTTPException(404)
        state = await run_in_threadpool(self._state, pipeline)
        return _answer(request, badge_svg(pipeline, state), "image/svg+xml")

    async def feed(self, request: Request) -> Response:
        """Return the feed of all pipelines. Each links to its badge."""
        projects = await run_in_threadpool(self._projects, str(request.base_url))
        return _answer(request, cc_xml(projects), "application/xml")

    def _state(self, pipeline: str) -> str:
        runs = (run for run in self._store.runs.latest(pipeline, _MAX_RUNS) if run.kind is RunKind.RUN)
        return next((run.state for run in runs if run.state not in _WITHOUT_VERDICT), "unknown")

    def _projects(self, base: str) -> list[Project]:
        return [
            Project.from_runs(name, self._store.runs.latest(name, _MAX_RUNS), f"{base}badge/{name}.svg")
            for name in sorted(self._pipelines)
        ]


def _answer(request: Request, text: str, media_type: str) -> Response:
    """Return the text, or 304 if the client has it already."""
    content = text.encode()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    headers = {**_HEADERS, "ETag": tag}
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)
