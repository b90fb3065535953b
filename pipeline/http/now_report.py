"""What all pipelines are doing now: a sentence for each, its unfinished runs, and what waits for a user.

It asks no engine, so that pages can be refreshed every second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import TargetState
from pipeline.base.home import Home
from pipeline.config.release import balanced_services
from pipeline.http.canary_targets import CanaryTargets
from pipeline.http.damage import balancer_damage, blocked_balancer, interruption
from pipeline.http.pipeline_targets import PipelineTargets
from pipeline.http.responses.event import EventResponse
from pipeline.http.responses.now import ActivityResponse, Answer, NowResponse, PipelineNowResponse, QuestionResponse
from pipeline.runner.status import PipelineStatus
from pipeline.store.event_filter import EventFilter
from pipeline.store.records import Release, Run, RunState
from pipeline.store.store import Store

_EVENTS = 12
_MAX_ACTIVITIES = 10
_FAILURES = (RunState.FAILED, RunState.ROLLED_BACK, RunState.ROLLBACK_FAILED, RunState.INTERRUPTED)
_State = Literal["healthy", "degraded", "unhealthy", "unused"]


class NowReports:
    """Reads what the pipelines of a home are doing. Safe to use from any thread. Changes nothing."""

    def __init__(self, home: Home, store: Store, balancer: Balancer) -> None:
        self._home = home
        self._store = store
        self._balancer = balancer

    def now(self, pipelines: Iterable[str]) -> NowResponse:
        """Return the state of these pipelines, in their order, and the latest events of the home.

        An alarm is among these when its state changes.
        """
        events = self._store.events.older(EventFilter(changes_only=True), None, _EVENTS)
        # Once for all pipelines, since it may look at every process of the machine.
        stopped = self._balancer.stopped()
        damage = [*balancer_damage(self._balancer, stopped), *blocked_balancer(self._balancer)]
        return NowResponse(
            pipelines=[self._pipeline(name, stopped, damage) for name in pipelines],
            events=[EventResponse.from_event(number, event) for number, event in events],
        )

    def _pipeline(self, name: str, stopped: Sequence[int], damage: Sequence[str]) -> PipelineNowResponse:
        status = PipelineStatus.of(self._home, self._store, name)
        targets = PipelineTargets.of(self._balancer, name, stopped)
        active = self._store.releases.active(name)
        # A target that a deployment adds is missed by nobody.
        passing = (TargetState.DRAINING, TargetState.INITIAL) if status.deployment else (TargetState.DRAINING,)
        canary = CanaryTargets.of(status, active, targets.found)
        staying = [health for health in targets.found if health.state not in passing and not canary.has(health)]
        healthy = sum(health.state is TargetState.HEALTHY for health in staying)
        wanted = max(len(staying), self._wanted(active)) if active else len(staying)
        serving = _sentence(active, healthy, wanted)
        healthy, wanted = healthy + canary.healthy, wanted + canary.checked
        problems = [
            *interruption(status),
            *damage,
            *([targets.problem] if targets.problem else []),
            *status.drift,
        ]
        return PipelineNowResponse(
            pipeline=name,
            state=_state(active, healthy, wanted, problems),
            sentence=f"{canary.clause}; {serving}" if canary.clause else serving,
            urls=[*self._urls(name)],
            release=active.number if active else None,
            sha=active.sha if active else None,
            subject=active.subject if active else None,
            healthy=healthy,
            targets=wanted,
            draining=sum(health.state is TargetState.DRAINING for health in targets.found),
            in_flight=sum(health.in_flight or 0 for health in targets.found),
            activities=[*_activities(status)],
            questions=[*_questions(status, self._last_failure(name, status))],
            problems=problems,
        )

    def _urls(self, name: str) -> Iterator[str]:
        """Yield the URLs of the listeners that a pipeline has declared, without those that wait for their port."""
        waiting = {found.port for found in self._balancer.waiting_listeners(name)}
        declared = self._balancer.declaration(name)
        for _, balancer, listener in declared.listeners() if declared else ():
            if listener.port not in waiting:
                yield from balancer.urls(listener)

    def _wanted(self, active: Release) -> int:
        """Return the number of targets that the services of a release should have, as far as it is stored."""
        counts = (self._store.services.wanted(active.pipeline, name) for name in balanced_services(active.spec))
        return sum(count for count in counts if count is not None)

    def _last_failure(self, name: str, status: PipelineStatus) -> Run | None:
        """Return the latest run if it failed and nothing newer is under way."""
        latest = self._store.runs.latest(name, limit=1)
        return latest[0] if latest and latest[0].state in _FAILURES and not status.runs else None


def _state(active: Release | None, healthy: int, wanted: int, problems: list[str]) -> _State:
    if active is None and not wanted:
        return "unused"
    if wanted and not healthy:
        return "unhealthy"
    return "degraded" if healthy < wanted or problems else "healthy"


def _sentence(active: Release | None, healthy: int, wanted: int) -> str:
    counts = f"{healthy} of {wanted} healthy" if wanted else "no targets"
    if active is None:
        return f"no active release, {counts}" if wanted else "no active release"
    return f"release {active.number} serves, {counts}" if wanted else f"release {active.number} is active"


def _activities(status: PipelineStatus) -> Iterator[ActivityResponse]:
    for run in status.runs[:_MAX_ACTIVITIES]:
        is_deploying = status.deployment is not None and status.deployment.run == run.number
        moving = [f"{found.service} {found.describe()}" for found in status.progress] if is_deploying else []
        yield ActivityResponse(
            run=run.number,
            kind=str(run.kind),
            text="; ".join([f"{run.kind} {run.number} {_doing(status, run)}{_commit(run)}", *moving]),
            is_waiting=run.state is RunState.QUEUED or run.waits_for is not None or status.waits_of(run) is not None,
            since=run.started_at,
            answers=_answers(status, run, is_moving=bool(moving)),
        )


def _doing(status: PipelineStatus, run: Run) -> str:
    """Return what a run does, without the commands that `pipeline status` adds."""
    return status.describe(run).partition(": pipeline ")[0].removesuffix(", for `pipeline serve`")


def _answers(status: PipelineStatus, run: Run, *, is_moving: bool) -> list[Answer]:
    waits = [wait for wait in status.waits if wait.promoted_by is None] if status.waits_of(run) else []
    if any(wait.is_pause for wait in waits):
        # Those of the question.
        return []
    if waits:
        return ["promote", "abort"]
    return ["abort"] if is_moving else ["cancel"]


def _questions(status: PipelineStatus, failed: Run | None) -> Iterator[QuestionResponse]:
    for run in status.runs:
        if run.waits_for == "approval":
            text = f"run {run.number} waits for approval{_commit(run)}"
            yield _question("approval", text, ["approve", "reject"], run=run.number)
    for wait in status.waits:
        if wait.is_pause and wait.promoted_by is None and status.deployment is not None:
            text = f"{wait.service} waits: {wait.description}"
            yield _question("promotion", text, ["promote", "abort"], run=status.deployment.run, service=wait.service)
    for stage, reason in status.disabled.items():
        waiting = sum(run.state is RunState.QUEUED or run.waits_for is not None for run in status.runs)
        runs = f", {waiting} {'run' if waiting == 1 else 'runs'} in the queue" if waiting else ""
        text = f"transition into {stage.capitalize()} is disabled: {reason}{runs}"
        yield _question("transition", text, ["enable"], stage=stage)
    if failed is not None:
        reason = f": {failed.reason}" if failed.reason not in ("", failed.state) else ""
        text = f"{failed.kind} {failed.number} {str(failed.state).replace('_', ' ')}{reason}"
        yield _question("failure", text, ["retry"], run=failed.number)


def _question(
    kind: Literal["approval", "promotion", "transition", "failure"],
    text: str,
    answers: list[Answer],
    *,
    run: int | None = None,
    service: str | None = None,
    stage: str | None = None,
) -> QuestionResponse:
    return QuestionResponse(kind=kind, text=text, run=run, service=service, stage=stage, answers=answers)


def _commit(run: Run) -> str:
    return f" ({run.sha[:7]} {run.subject})" if run.sha else ""
