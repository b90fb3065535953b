"""The control API's endpoint for what all pipelines are doing now."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from pipeline.daemon.control import Control
from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.now_report import NowReports
from pipeline.http.responses.now import NowResponse


class NowApi:
    """An endpoint about the pipelines of a daemon. Without reports, it responds with 404."""

    def __init__(self, control: Control, reports: NowReports) -> None:
        self._control = control
        self._reports = reports
        summary = "What all pipelines are doing, as `pipeline now --json` prints it."
        self.endpoints = (Endpoint("GET", "/v1/now", summary, self._now, gives=NowResponse),)

    async def _now(self, _: Request) -> Response:
        return json_response(await run_in_threadpool(self._reports.now, list(self._control.supervisors)))
