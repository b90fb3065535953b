"""The page of one run: its stages and containers in time, its tests, artifacts and log, and what a user may answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.base.printable import strip_controls
from pipeline.base.whole_number import whole_number
from pipeline.http.log_file import log_part, log_size
from pipeline.http.run_artifacts import ArtifactMissing, RunArtifacts
from pipeline.http.run_report import run_detail, run_timeline
from pipeline.store.records import Run, RunKind, RunState
from pipeline.web.download import Download, OpenFile
from pipeline.web.page import Page, PageMissing, Parts, ViewContext
from pipeline.web.reports import WebReports
from pipeline.web.timeline_chart import deployment_scale, drawn_until, duration, legend, service_charts, stage_bars

_RUN = "/pipelines/{pipeline}/runs/{number}"
# Of the log: what the page shows of its end.
_TAIL, _MAX_TAIL = 32 * 1024, 2**21
_LINES = 200
_CHUNK = 2**20


def _view(context: ViewContext) -> Parts:
    run = _found(context.reports, context.arguments)
    store, home = context.reports.store, context.reports.control.home_of(run.pipeline)
    timeline, detail = run_timeline(store, run), run_detail(store, run)
    now = drawn_until(run.started_at, context.reports.clock.now().wall)
    open_deployment = store.deployments.open(run.pipeline)
    if open_deployment and open_deployment.run != run.number:
        open_deployment = None
    open_waits = store.deployment_answers.waiting(run.pipeline) if open_deployment else []
    lines, is_whole = _log_tail(home, run)
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
        "log": context.part("run/log.html", run=detail, lines=lines, is_whole=is_whole, most=_LINES),
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


def _log_tail(home: Home, run: Run) -> tuple[list[tuple[str, str, str]], bool]:
    """Return the last lines with their times and steps, and whether these are all."""
    log, tail = home.run_log(run.pipeline, run.number), _TAIL
    while True:
        start = max(0, log_size(log) - tail)
        text = log_part(log, start, tail + _TAIL).decode(errors="replace")
        lines = text.split("\n")[1 if start else 0 :]
        found = [line for each in lines if (line := _line(each))]
        # One line may be longer than the tail.
        if found or not start or tail >= _MAX_TAIL:
            return found[-_LINES:], not start and len(found) <= _LINES
        tail *= 4


def _line(text: str) -> tuple[str, str, str] | None:
    """Return time, step and text of a line. None for one that is being written."""
    try:
        data = json.loads(text)
        return str(data["at"])[11:19], str(data["stage"]), strip_controls(str(data["text"]))
    except (ValueError, KeyError, TypeError):
        return None


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
    log = reports.control.home_of(run.pipeline).run_log(run.pipeline, run.number)
    size = log_size(log)

    def chunks() -> Iterator[bytes]:
        start = 0
        while start < size and (chunk := log_part(log, start, min(_CHUNK, size - start))):
            start += len(chunk)
            yield chunk

    headers = {"Content-Disposition": f'attachment; filename="run-{run.number}.jsonl"'}
    return OpenFile(chunks(), headers, "application/jsonl")


PAGES = (
    Page(
        _RUN,
        "run",
        "Run {number} of {pipeline}",
        "run/page.html",
        _view,
        styles=("run.css",),
    ),
)
DOWNLOADS = (
    Download(f"{_RUN}/artifacts/{{path:path}}", _artifact),
    Download(f"{_RUN}/log", _log_file),
)
