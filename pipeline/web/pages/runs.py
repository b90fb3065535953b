"""The pages of runs: the history of a pipeline with filters, the start of a run, and the latest runs of all."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.base.errors import ConfigError
from pipeline.base.whole_number import whole_number
from pipeline.http.responses.run import HistoryResponse
from pipeline.store.queue import RunRequest
from pipeline.store.records import Run, RunKind, RunOptions, RunState, Trigger
from pipeline.web.action import Action, ActionRequest, Done
from pipeline.web.page import Page, PageMissing, Parts, ViewContext
from pipeline.web.reports import WebReports
from pipeline.web.timeline_chart import duration

_RUNS = "/pipelines/{pipeline}/runs"
_SHOWN, _SEARCHED, _FEW = 50, 1000, 5
_FILTERS = ("state", "trigger", "kind", "by", "before")
_MAX_COMMIT = 1000


def _index(context: ViewContext) -> Parts:
    found = {name: _history(context.reports, name, {}, _FEW) for name in context.reports.control.supervisors}
    return {"runs": context.part("runs/index_part.html", pipelines=found, took=_took)}


def _view(context: ViewContext) -> Parts:
    pipeline = context.arguments["pipeline"]
    if pipeline not in context.reports.control.supervisors:
        raise PageMissing(f"the daemon does not manage {pipeline[:100]}")
    wanted = {name: context.arguments.get(name, "") for name in _FILTERS}
    found = _history(context.reports, pipeline, wanted)
    return {
        "start": context.part("runs/start.html", pipeline=pipeline),
        "filters": context.part(
            "runs/filters.html",
            pipeline=pipeline,
            wanted=wanted,
            states=list(RunState),
            triggers=list(Trigger),
            kinds=list(RunKind),
        ),
        "runs": context.part(
            "runs/table.html",
            pipeline=pipeline,
            runs=found[:_SHOWN],
            wanted=wanted,
            before=found[_SHOWN - 1].number if len(found) > _SHOWN else None,
            took=_took,
        ),
    }


def _history(
    reports: WebReports, pipeline: str, wanted: Mapping[str, str], limit: int = _SHOWN + 1
) -> list[HistoryResponse]:
    """Return the latest runs that match, newest first, as `pipeline history --json` has them."""
    store = reports.store
    found = [run for run in store.runs.latest(pipeline, _SEARCHED) if _matches(run, wanted)][:limit]
    strategies = store.deployments.strategies(pipeline, [run.number for run in found])
    return [HistoryResponse.of(run, [], strategies.get(run.number)) for run in found]


def _matches(run: Run, wanted: Mapping[str, str]) -> bool:
    before = whole_number(wanted.get("before", ""))
    by = wanted.get("by", "")
    exact = {"state": run.state, "trigger": run.trigger, "kind": run.kind}
    return (
        all(wanted.get(name, "") in ("", value) for name, value in exact.items())
        and by in ("", run.by, run.author)
        and (before is None or run.number < before)
    )


def _took(run: HistoryResponse) -> str:
    if not run.attempts or run.finished_at is None:
        return ""
    return duration((run.finished_at - run.started_at).total_seconds())


def _start(request: ActionRequest) -> Done:
    pipeline = request.arguments["pipeline"]
    commit = request.form.get("commit", "").strip()
    if len(commit) > _MAX_COMMIT:
        raise ConfigError(f"a branch, tag or commit has at most {_MAX_COMMIT} characters")
    # As for a request to the control API: the commit's own pipeline.yaml counts.
    options = RunOptions("commit", {}, force="force" in request.form, no_cache="no_cache" in request.form)
    asked = RunRequest(Trigger.COMMAND, commit or None, RunKind.RUN, options=options, by=request.user)
    run: Run = request.reports.control.submit(pipeline, asked)
    return Done(f"Run {run.number} is queued.", go_to=f"/pipelines/{pipeline}/runs/{run.number}")


PAGES = (
    Page("/runs", "all-runs", "Runs", "runs/index.html", _index, label="Runs", rank=30, styles=("run.css",)),
    Page(_RUNS, "runs", "Runs of {pipeline}", "runs/page.html", _view, query=_FILTERS, styles=("run.css",)),
)
ACTIONS = (Action(f"{_RUNS}/start", _start, back=_RUNS),)
