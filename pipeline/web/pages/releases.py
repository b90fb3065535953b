"""The pages about releases: their lists, the difference of two, and a rollback with its plan."""

from __future__ import annotations

import json

from pipeline.base.whole_number import whole_number
from pipeline.http.plan_report import rollback_plan
from pipeline.http.release_difference import release_difference
from pipeline.http.release_report import release_summaries
from pipeline.http.responses.release import ReleaseResponse
from pipeline.store.queue import RunRequest
from pipeline.store.records import ReleaseState, RunKind, Trigger
from pipeline.web.action import Action, ActionRequest, Done
from pipeline.web.page import Page, PageMissing, Parts, ViewContext
from pipeline.web.served_pipeline import served_context

_RELEASES = "/pipelines/{pipeline}/releases"
# Of each pipeline on the page of all.
_FEW = 3


def _index(context: ViewContext) -> Parts:
    store = context.reports.store
    found = {name: release_summaries(store, name) for name in context.reports.control.supervisors}
    return {"releases": context.part("releases/index_part.html", pipelines=found, few=_FEW)}


def _list(context: ViewContext) -> Parts:
    pipeline = _pipeline(context)
    found = release_summaries(context.reports.store, pipeline)
    active = next((each.number for each in found if each.state is ReleaseState.ACTIVE), None)
    part = context.part(
        "releases/list_part.html",
        pipeline=pipeline,
        releases=found,
        active=active,
        before=_before(found, active),
    )
    return {"releases": part}


def _before(releases: list[ReleaseResponse], active: int | None) -> int | None:
    """Return the release that is compared with the active one unless another is chosen."""
    return next((each.number for each in releases if active is not None and each.number < active), None)


def _compare(context: ViewContext) -> Parts:
    pipeline = _pipeline(context)
    before, after = (_number(context, name) for name in ("before", "after"))
    found = release_difference(served_context(context.reports, pipeline), before, after)
    images: dict[tuple[str | None, str | None], list[str]] = {}
    for each in found.images:
        images.setdefault((each.before, each.after), []).append(each.service)
    part = context.part("releases/difference_part.html", pipeline=pipeline, found=found, images=images, shown=_shown)
    return {"difference": part}


def _shown(value: object) -> str:
    """Return a value of the configuration as text, which the template escapes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plan(context: ViewContext) -> Parts:
    pipeline = _pipeline(context)
    plan = rollback_plan(served_context(context.reports, pipeline), _number(context, "release"))
    store = context.reports.store
    release, active = store.releases.get(pipeline, plan.release), store.releases.active(pipeline)
    shown = ReleaseResponse.model_validate(release)
    part = context.part("releases/plan_part.html", pipeline=pipeline, plan=plan, release=shown, active=active)
    return {"plan": part}


def _pipeline(context: ViewContext) -> str:
    name = context.arguments["pipeline"]
    served_context(context.reports, name)
    return name


def _number(context: ViewContext, name: str) -> int:
    text = context.arguments.get(name, "")
    number = whole_number(text)
    if not number:
        raise PageMissing(f"{name}: must be the number of a release, got {text[:40]!r}")
    return number


def _roll_back(request: ActionRequest) -> Done:
    pipeline, release = request.arguments["pipeline"], request.arguments["release"]
    asked = RunRequest(Trigger.COMMAND, release, RunKind.ROLLBACK, by=request.user)
    if not whole_number(release):
        raise PageMissing(f"{pipeline} has no release {release[:40]}")
    run = request.reports.control.submit(pipeline, asked)
    return Done(
        f"Run {run.number} rolls {pipeline} back to release {release}.",
        go_to=f"/pipelines/{pipeline}/runs/{run.number}",
    )


PAGES = (
    Page("/releases", "all-releases", "Releases", "releases/index.html", _index, label="Releases", rank=40),
    Page(_RELEASES, "releases", "Releases of {pipeline}", "releases/list.html", _list),
    Page(
        f"{_RELEASES}/compare",
        "release-difference",
        "Difference of two releases of {pipeline}",
        "releases/difference.html",
        _compare,
        query=("before", "after"),
        is_live=False,
    ),
    Page(
        f"{_RELEASES}/{{release}}/rollback",
        "rollback",
        "Roll {pipeline} back to release {release}",
        "releases/plan.html",
        _plan,
        is_live=False,
    ),
)
ACTIONS = (Action(f"{_RELEASES}/{{release}}/rollback", _roll_back, back=_RELEASES),)
