"""The page of one run: its stages and containers in time, its tests, artifacts and log, and what a user may answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from pipeline.base.errors import ConfigError
from pipeline.base.printable import strip_controls
from pipeline.base.whole_number import whole_number
from pipeline.http.log_file import log_part, log_size
from pipeline.http.responses.run_log import RunLogLineResponse, RunLogResponse
from pipeline.http.run_artifacts import ArtifactMissing, RunArtifacts
from pipeline.http.run_log import run_log_from, run_log_tail
from pipeline.http.run_report import run_detail
from pipeline.http.run_timelines import RunTimelines
from pipeline.store.records import Run, RunKind, RunState
from pipeline.web.download import Download, OpenFile
from pipeline.web.log_growth import LogGrowth
from pipeline.web.page import Page, PageMissing, Parts, ViewContext
from pipeline.web.reports import WebReports
from pipeline.web.timeline_chart import deployment_scale, drawn_until, duration, legend, service_charts, stage_bars

_RUN = "/pipelines/{pipeline}/runs/{number}"
# Of the log: the lines and bytes that the page shows of its end when it is loaded.
_LINES, _TAIL = 200, 2**17
_CHUNK = 2**20


def _view(context: ViewContext) -> Parts:
    run = _found(context.reports, context.arguments)
    store, home = context.reports.store, context.reports.control.home_of(run.pipeline)
    timelines = context.reports.kept("timelines of runs", lambda: RunTimelines(store))
    timeline, detail = timelines.of(run), run_detail(store, run)
    now = drawn_until(run.started_at, context.reports.clock.now().wall)
    open_deployment = store.deployments.open(run.pipeline)
    if open_deployment and open_deployment.run != run.number:
        open_deployment = None
    open_waits = store.deployment_answers.waiting(run.pipeline) if open_deployment else []
    return {
        "run": context.part("run/head.html", run=detail, is_live=not run.state.over, took=_took(run)),
        "answers": context.part(
            "run/answers.html",
            run=detail,
            is_retryable=_is_retryable(run),
            waits=[wait for wait in timeline.waits if wait.what == "promote" and wait.finished_at is None],
            is_baking=any(not wait.is_pause and wait.promoted_by is None for wait in open_waits),
            deployment=open_deployment,
        ),
        "stages": context.part("run/stages.html", timeline=timeline, bars=stage_bars(timeline, now)),
        "containers": context.part(
            "run/containers.html",
            run=detail,
            charts=service_charts(timeline, now),
            scale=deployment_scale(timeline, now),
            duration=duration,
            legend=legend(),
        ),
        "moments": context.part("run/moments.html", timeline=timeline),
        "tests": context.part("run/tests.html", tests=detail.tests),
        "artifacts": context.part("run/artifacts.html", files=RunArtifacts(home, run.pipeline, run.number).all()),
        "log-news": _log_news(context, run),
    }


def _found(reports: WebReports, arguments: Mapping[str, str]) -> Run:
    text = arguments["number"]
    number = whole_number(text)
    if number is None:
        raise PageMissing(f"{arguments['pipeline']} has no run {text[:40]}")
    try:
        return reports.control.run(arguments["pipeline"], number)
    except ConfigError as error:
        raise PageMissing(error.message, hint=error.hint) from error


def _took(run: Run) -> str:
    return duration(run.duration.total_seconds()) if run.attempts and run.state.over else ""


def _is_retryable(run: Run) -> bool:
    return run.state.over and run.state not in (RunState.SUCCEEDED, RunState.SKIPPED) and run.kind is not RunKind.DOWN


def _opening(context: ViewContext) -> Parts:
    run = _found(context.reports, context.arguments)
    found = run_log_tail(_log_path(context.reports, run), _LINES, _TAIL)
    lines = [(_shown_line(line), line.end) for line in found.lines]
    part = context.part("run/log.html", run=run, lines=lines, is_whole=not found.start, next=found.next)
    return {"log": part}


def _log_news(context: ViewContext, run: Run) -> Markup:
    growth = context.reports.kept("growth of run logs", LogGrowth)
    # A page that is loaded with another role is a look, too, from which the open pages get nothing.
    key = run.pipeline, run.number, context.can_operate
    found = growth.look(key, _log_path(context.reports, run))
    text = escape(_shown(found), quote=False)
    return context.part("run/log_news.html", news=Markup(text))  # noqa: S704  # escaped


def _shown(found: RunLogResponse) -> str:
    """Return lines as JSON for the script, with the texts that the page would show."""
    lines = [line.model_copy(update=_shown_line(line)._asdict()) for line in found.lines]
    return found.model_copy(update={"lines": lines}).model_dump_json()


class _ShownLine(NamedTuple):
    at: str
    stage: str
    text: str


def _shown_line(line: RunLogLineResponse) -> _ShownLine:
    time, stage, text = (strip_controls(each) for each in (line.at[11:19], line.stage, line.text))
    return _ShownLine(time, stage, text)


def _log_path(reports: WebReports, run: Run) -> Path:
    return reports.control.home_of(run.pipeline).run_log(run.pipeline, run.number)


def _artifact(reports: WebReports, arguments: Mapping[str, str]) -> OpenFile:
    run = _found(reports, arguments)
    try:
        file = RunArtifacts(reports.control.home_of(run.pipeline), run.pipeline, run.number).open(
            arguments["raw"].partition("/artifacts/")[2]
        )
    except ArtifactMissing as missing:
        raise PageMissing(missing.message) from missing
    return OpenFile(file.chunks(), file.headers)


def _log_file(reports: WebReports, arguments: Mapping[str, str]) -> OpenFile:
    run = _found(reports, arguments)
    log = _log_path(reports, run)
    size = log_size(log)

    def chunks() -> Iterator[bytes]:
        start = 0
        while start < size and (chunk := log_part(log, start, min(_CHUNK, size - start))):
            start += len(chunk)
            yield chunk

    headers = {"Content-Disposition": f'attachment; filename="run-{run.number}.jsonl"'}
    return OpenFile(chunks(), headers, "application/jsonl")


def _log_lines(reports: WebReports, arguments: Mapping[str, str]) -> OpenFile:
    """Send the lines that an open page has missed."""
    run, start = _found(reports, arguments), whole_number(arguments["offset"])
    if start is None:
        raise PageMissing(f"the log has no offset {arguments['offset'][:40]}")
    found = _shown(run_log_from(_log_path(reports, run), start))
    return OpenFile(iter((found.encode(),)), {"Cache-Control": "no-store"}, "application/json")


PAGES = (
    Page(
        _RUN,
        "run",
        "Run {number} of {pipeline}",
        "run/page.html",
        _view,
        opening=_opening,
        scripts=("run.js",),
        styles=("run.css",),
    ),
)
DOWNLOADS = (
    Download(f"{_RUN}/artifacts/{{path:path}}", _artifact),
    Download(f"{_RUN}/log", _log_file),
    Download(f"{_RUN}/log/from/{{offset}}", _log_lines),
)
