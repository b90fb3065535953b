"""What the daemon shows to whoever may reach its public address: webhooks come in, badges and the CCTray feed go out.

A badge and the feed say how a pipeline stands, and no more than that: no commit, no log, no reason.
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

# Among so many runs there is one that says how the pipeline stands, or else nothing is known.
_LATEST = 50
_SAYS_NOTHING = frozenset({RunState.SUPERSEDED, RunState.SKIPPED, RunState.CANCELLED})
# Whoever keeps an answer asks before it is shown again: an old badge is a wrong one.
_HEADERS = {
    "Cache-Control": "no-cache",
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


def public_config(inbox: Inbox, store: Store, pipelines: Collection[str]) -> uvicorn.Config:
    """How to serve webhooks, `GET /badge/{pipeline}.svg` and `GET /cc.xml`, as `webhook_config` does.

    `pipelines` are those that are shown; it may change meanwhile.
    """
    standing = _StatusPages(store, pipelines)
    return webhook_config(inbox, [Route("/badge/{pipeline}.svg", standing.badge), Route("/cc.xml", standing.feed)])


class _StatusPages:
    """How pipelines stand, as images and as a feed."""

    def __init__(self, store: Store, pipelines: Collection[str]) -> None:
        self._store = store
        self._pipelines = pipelines

    async def badge(self, request: Request) -> Response:
        """The latest run that says something about a commit, in a word and a colour."""
        pipeline = request.path_params["pipeline"]
        if pipeline not in self._pipelines:
            raise HTTPException(404)
        state = await run_in_threadpool(self._state, pipeline)
        return _answer(request, badge_svg(pipeline, state), "image/svg+xml")

    async def feed(self, request: Request) -> Response:
        """All pipelines; the badge is the page that there is of each."""
        projects = await run_in_threadpool(self._projects, str(request.base_url))
        return _answer(request, cc_xml(projects), "application/xml")

    def _state(self, pipeline: str) -> str:
        runs = (run for run in self._store.runs.latest(pipeline, _LATEST) if run.kind is RunKind.RUN)
        return next((run.state for run in runs if run.state not in _SAYS_NOTHING), "unknown")

    def _projects(self, base: str) -> list[Project]:
        return [
            Project.of(name, self._store.runs.latest(name, _LATEST), f"{base}badge/{name}.svg")
            for name in sorted(self._pipelines)
        ]


def _answer(request: Request, text: str, media_type: str) -> Response:
    """The text, or that the asker has it already."""
    content = text.encode()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    headers = {**_HEADERS, "ETag": tag}
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)
