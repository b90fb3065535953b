"""What users do with runs and deployments: approve, reject, cancel, retry, promote, abort, and enable a transition.

Each calls the function that the API's endpoint calls. The pages that have the buttons are others.
"""

from __future__ import annotations

from pipeline.base.errors import ConfigError
from pipeline.base.printable import has_controls
from pipeline.base.whole_number import whole_number
from pipeline.store.queue import STAGES
from pipeline.web.action import Action, ActionRequest, Done

_MAX_COMMENT = 1000


def _approve(request: ActionRequest) -> Done:
    return _decide(request, granted=True)


def _reject(request: ActionRequest) -> Done:
    return _decide(request, granted=False)


def _decide(request: ActionRequest, *, granted: bool) -> Done:
    pipeline, number = _run(request)
    comment = _comment(request)
    run = request.reports.control.decide(pipeline, number, granted=granted, by=request.user, comment=comment)
    counts = run.approval
    assert counts is not None
    word = "approved" if counts.granted else "rejected"
    if (counts.granted, counts.by) != (granted, request.user):
        raise ConfigError(f"run {number} was {word} by {counts.by} before")
    return Done(f"Run {number} is {word}.")


def _cancel(request: ActionRequest) -> Done:
    pipeline, number = _run(request)
    request.reports.control.cancel(pipeline, number, by=request.user)
    return Done(f"Run {number} is being cancelled.")


def _retry(request: ActionRequest) -> Done:
    pipeline, number = _run(request)
    run = request.reports.control.retry(pipeline, number, by=request.user)
    return Done(f"Run {run.number} repeats run {number}.")


def _promote(request: ActionRequest) -> Done:
    name = request.arguments["pipeline"]
    return Done(request.reports.control.promote(name, by=request.user, service=_service(request)))


def _abort(request: ActionRequest) -> Done:
    name, comment = request.arguments["pipeline"], _comment(request)
    return Done(request.reports.control.abort(name, by=request.user, comment=comment, service=_service(request)))


def _enable(request: ActionRequest) -> Done:
    stage = request.arguments["stage"]
    if stage not in STAGES:
        raise ConfigError(f"unknown stage {stage[:40]}", hint=f"the stages are {', '.join(STAGES)}")
    request.reports.control.enable_transition(request.arguments["pipeline"], stage, by=request.user)
    return Done(f"The transition into {stage.capitalize()} is enabled.")


def _run(request: ActionRequest) -> tuple[str, int]:
    name, text = request.arguments["pipeline"], request.arguments["number"]
    number = whole_number(text)
    if number is None:
        raise ConfigError(f"{name} has no run {text[:40]}")
    return name, number


def _service(request: ActionRequest) -> str | None:
    return request.form.get("service") or None


def _comment(request: ActionRequest) -> str:
    comment = request.form.get("comment", "").strip()
    if len(comment) > _MAX_COMMENT or has_controls(comment):
        raise ConfigError(f"the reason must be one line of at most {_MAX_COMMENT} characters")
    return comment


_PIPELINE = "/pipelines/{pipeline}"
_RUN, _DEPLOYMENT = f"{_PIPELINE}/runs/{{number}}", f"{_PIPELINE}/deployment"
ACTIONS = (
    Action(f"{_RUN}/approve", _approve, back="/"),
    Action(f"{_RUN}/reject", _reject, back="/"),
    Action(f"{_RUN}/cancel", _cancel, back="/"),
    Action(f"{_RUN}/retry", _retry, back="/"),
    Action(f"{_DEPLOYMENT}/promote", _promote, back="/"),
    Action(f"{_DEPLOYMENT}/abort", _abort, back="/"),
    Action(f"{_PIPELINE}/transitions/{{stage}}/enable", _enable, back="/"),
)
