"""The report of `pipeline status`. The daemon makes it for the command, or the command itself without a daemon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from pipeline.acme.state import CertificateState, certificate_states
from pipeline.balancer import planes
from pipeline.balancer.model import Target, TargetHealth
from pipeline.balancer.rule_text import ALL_PACKETS
from pipeline.base.home import Home
from pipeline.config.accessory import Accessory
from pipeline.http.accessory_report import AccessoryReport
from pipeline.http.damage import INTERRUPTED, blocked_balancer, damage_of
from pipeline.http.host_report import HostReport
from pipeline.http.job_report import job_responses
from pipeline.http.pipeline_targets import PipelineTargets
from pipeline.http.responses.deployment import AlarmResponse, DeploymentResponse, ServiceProgressResponse
from pipeline.http.responses.job import JobResponse
from pipeline.http.responses.run import LastRunResponse, UnfinishedRunResponse
from pipeline.http.responses.scaling import ScalingResponse
from pipeline.http.responses.status import CertificateResponse, HolderResponse, StatusResponse
from pipeline.http.scaling_report import scaling_responses
from pipeline.http.service_report import ServiceReport
from pipeline.http.status_text import StatusText, Text
from pipeline.runner.engine_view import SILENCE, EngineView, Restarts
from pipeline.runner.status import PipelineStatus
from pipeline.scaling.renumbering import is_renumbering
from pipeline.store.deployment_progress import ShiftPhase
from pipeline.store.records import Release, Run
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pipeline.daemon.control import Control

# The command waits two seconds for a status. The daemon is connected to the hosts already.
_HOST_SILENCE = timedelta(seconds=1)
# Of a longer queue, the first runs and the last one are shown.
_MAX_SHOWN = 10


class StatusReport:
    """What a pipeline is doing, read at one moment. Reading changes nothing and takes seconds at most.

    `declared` are the accessories of pipeline.yaml, None if it is not known. Each host has `silence` to answer.
    `services` are those of the active release.
    """

    def __init__(
        self,
        home: Home,
        store: Store,
        pipeline: str,
        *,
        invalid: bool,
        declared: Mapping[str, Accessory] | None = None,
        silence: timedelta = SILENCE,
    ) -> None:
        self._pipeline = pipeline
        self._invalid = invalid
        self._balancer = planes.open_balancer(home.balancer)
        self._status = PipelineStatus.of(home, store, pipeline)
        self._broken, self._blocked = damage_of(self._balancer, self._status), blocked_balancer(self._balancer)
        self._targets = PipelineTargets.of(self._balancer, pipeline)
        self._active = store.releases.active(pipeline)
        started = store.accessories.all(pipeline)
        is_deployed = self._targets.found or self._active or started
        cluster = store.clusters.of(pipeline)
        view = EngineView.of(home, pipeline, cluster, silence) if is_deployed else EngineView()
        self._hosts = HostReport(cluster, view.containers, view.missing)
        has_accessories = started or declared or store.accessories.deployed(pipeline)
        self._accessories = (
            AccessoryReport.of(home, store, pipeline, declared, view.accessories) if has_accessories else None
        )
        self._restarts = view.restarts
        found = ServiceReport(
            view.containers,
            {health.target.id: health for health in self._targets.found},
            {each.container: each.count for each in view.restarts},
        )
        self.services = found.responses(store, self._active)
        # If the targets cannot be read, no container is known to be without one.
        targets = {health.target.id for health in self._targets.found}
        workers = () if self._targets.problem else view.without_targets(targets)
        self._workers = {each.name: str(each.health or each.state) for each in workers}
        self._last = _last_run(store, pipeline, self._status)
        self._certificates = certificate_states(self._balancer, pipeline)
        self._jobs = job_responses(store, pipeline)
        self._scaling = scaling_responses(store, pipeline)

    @classmethod
    def served(cls, control: Control, name: str) -> Self:
        """Return the report of a pipeline of a daemon. Raises `ConfigError` if the daemon does not manage it."""
        home, invalid, declared = control.home_of(name), control.is_invalid(name), control.accessories(name)
        return cls(home, control.store, name, invalid=invalid, declared=declared, silence=_HOST_SILENCE)

    def text(self) -> StatusText:
        """Return the report for people."""
        return StatusText(
            self._invalid,
            [*self._lines(), *self._listeners()],
            [
                *(
                    (h.target.id, str(h.state), str(h.in_flight), self._place(h.target), _reason(h))
                    for h in self._targets.found
                ),
                *((name, state, "", self._hosts.place(name, ""), "") for name, state in self._workers.items()),
            ],
        )

    def data(self) -> dict[str, Any]:
        """Return the report for programs, as `--json` prints it."""
        return self.response().as_data()

    def response(self) -> StatusResponse:
        """Return the report as a model."""
        status, active = self._status, self._active
        return StatusResponse(
            pipeline=self._pipeline,
            release=active.number if active else None,
            sha=active.sha if active else None,
            served=status.served,
            daemon=HolderResponse.model_validate(status.daemon) if status.daemon else None,
            last_run=LastRunResponse.model_validate(self._last) if self._last else None,
            unfinished=_unfinished_runs(status),
            disabled_transitions=dict(status.disabled),
            drift=list(status.drift),
            alarms=[AlarmResponse.model_validate(alarm) for alarm in status.alarms],
            broken=[*self._broken, *self._blocked],
            targets=[health.model_dump(mode="json") for health in self._targets.found],
            workers=self._workers,
            restarts={found.container: found.count for found in self._restarts},
            accessories=list(self._accessories.accessories) if self._accessories else [],
            certificates=[CertificateResponse.model_validate(state) for state in self._certificates],
            jobs=self._jobs,
            deployment=_deployment(status),
            scaling=self._scaling,
            hosts=self._hosts.responses(),
            services=self.services,
        )

    def _lines(self) -> Iterator[Text]:
        status = self._status
        yield (_describe_release(self._pipeline, self._active),)
        yield _manager(status)
        if last := self._last:
            reason = f": {last.reason}" if last.reason not in ("", last.state) else ""
            state = last.state.replace("_", " ")
            yield (f"last run: {last.kind} {last.number}, {state}, ", last.finished_at or last.started_at, reason)
        for run in status.runs[:_MAX_SHOWN]:
            yield (f"{run.kind} {run.number} {status.describe(run)}{_commit(run)}",)
        yield from ((text,) for text in _describe_deployment(status))
        if len(status.runs) > _MAX_SHOWN:
            yield (f"… and {len(status.runs) - _MAX_SHOWN} more, up to run {status.runs[-1].number}",)
        for stage, reason in status.disabled.items():
            hint = f"(pipeline transition enable {stage})"
            yield (f"transition into {stage.capitalize()} disabled: {reason} {hint}",)
        yield from ((f"alarm of {each.service}: {each.state}, {each.text}",) for each in status.alarms)
        yield from ((text if is_renumbering(text) else f"repairing: {text}",) for text in status.drift)
        yield from ((text,) for text in self._hosts.lines())
        yield from (_describe_restarts(found, self._hosts) for found in self._restarts)
        if self._accessories:
            yield from ((text,) for text in self._accessories.text)
        yield from ((text if status.served else f"{text}: {_remedy(text, status)}",) for text in self._broken)
        yield from ((text,) for text in self._blocked)
        yield from (_describe_certificate(state, status) for state in self._certificates)
        yield from (_describe_job(job, status) for job in self._jobs)
        yield from (_describe_scaling(found, status) for found in self._scaling)

    def _place(self, target: Target) -> str:
        host, zone = self._hosts.place(target.id, target.address), target.zone
        return f"{target.address}:{target.port}{f' in {zone}' if zone else ''}{f' on {host}' if host else ''}"

    def _listeners(self) -> Iterator[Text]:
        declared = self._balancer.declaration(self._pipeline)
        waiting = {found.port: str(found) for found in self._balancer.waiting_listeners(self._pipeline)}
        for name, balancer, listener in declared.listeners() if declared else ():
            groups = ", ".join(sorted(listener.groups())) or "fixed responses"
            place = ", ".join(balancer.urls(listener)) or ALL_PACKETS
            yield (waiting.get(listener.port) or f"{name}: {place} → {groups}",)
        if self._targets.problem:
            yield (f"cannot read the targets: {self._targets.problem}",)


def _remedy(text: str, status: PipelineStatus) -> str:
    """Return what a user does about a damage without the daemon."""
    phases = {found.phase for found in status.progress}
    if text != INTERRUPTED or not phases or ShiftPhase.UNDO in phases:
        return "run `pipeline recover`"
    return "`pipeline run` of the same commit continues the deployment, and `pipeline recover` undoes it"


def _describe_release(pipeline: str, active: Release | None) -> str:
    if active is None:
        return f"{pipeline}: no active release"
    return f"{pipeline}: release {active.number}, {active.sha[:7]} {active.subject}"


def _describe_deployment(status: PipelineStatus) -> Iterator[str]:
    """Yield the strategy of the open deployment and, for each service whose traffic moves, the step and its wait."""
    if status.deployment is None or not status.progress:
        return
    held = "; it is held until its run continues" if status.held else ""
    yield f"deploying release {status.deployment.to_release} by {status.deployment.strategy}{held}"
    for found in status.progress:
        waits = status.waits_for(found)
        yield f"{found.service} {found.describe()}{f': waits for {waits}' if waits else ''}"


def _deployment(status: PipelineStatus) -> DeploymentResponse | None:
    found = status.deployment
    if found is None:
        return None
    return DeploymentResponse(
        run=found.run,
        from_release=found.from_release,
        to_release=found.to_release,
        strategy=found.strategy,
        held=status.held,
        services=[ServiceProgressResponse.from_progress(each, status.waits_for(each)) for each in status.progress],
    )


def _describe_restarts(restarts: Restarts, hosts: HostReport) -> Text:
    times = "once" if restarts.count == 1 else f"{restarts.count} times"
    last: Text = (", last ", restarts.last) if restarts.last else ()
    return (
        f"{restarts.container} exited and was restarted {times}",
        *last,
        ": see `pipeline logs --app`" if hosts.cluster.hosts else f": see `docker logs {restarts.container}`",
    )


def _describe_certificate(state: CertificateState, status: PipelineStatus) -> Text:
    names = f"certificate for {', '.join(state.domains)}"
    failure: Text = (f"; {state.error}, next attempt ", state.retry_at) if state.retry_at else ()
    served = "" if status.served else ": run `pipeline serve`, which requests it"
    if state.expires is None:
        return (f"{names} is not issued yet{served}", *failure)
    return (f"{names} expires ", state.expires, *failure)


def _describe_job(job: JobResponse, status: PipelineStatus) -> Text:
    run = job.last_run
    reason = f" ({run.reason})" if run and run.reason not in ("", run.state) else ""
    last: Text = (
        (f"run {run.number} {run.state.replace('_', ' ')}{reason}, ", run.started_at) if run else ("no run yet",)
    )
    served = "" if status.served else ", which only `pipeline serve` runs"
    following: Text = ("; next ", job.next, served) if job.next else ()
    return (f"job {job.name}: ", *last, *following)


def _describe_scaling(found: ScalingResponse, status: PipelineStatus) -> Text:
    wanted = f"{found.wanted} wanted" if found.wanted else "scaled to zero"
    text = f"scaling {found.service}: {wanted}, {found.min} to {found.max}"
    if found.suspended_at is not None:
        return (f"{text}; suspended since ", found.suspended_at, f" (pipeline scaling resume {found.service})")
    served = "" if status.served else "; only `pipeline serve` changes the number"
    if not (status.served or found.wanted):
        served = "; only `pipeline serve` starts a container at the first request"
    if found.decision is None:
        return (f"{text}; no decision yet{served}",)
    return (f"{text}; decided ", found.decision.at, f": {found.decision.reason}{served}")


def _manager(status: PipelineStatus) -> Text:
    daemon, worker = status.daemon, status.worker
    if status.served:
        assert daemon is not None
        stopped = f", which {daemon.state}: {daemon.remedy}" if daemon.stopped else ""
        return (f"managed by daemon (pid {daemon.pid}) since ", daemon.since, stopped)
    if worker:
        stopped = f" and {worker.state}: {worker.remedy}" if worker.stopped else ""
        return (f"{worker.purpose} (pid {worker.pid}) has been running since ", worker.since, stopped)
    if daemon:
        return (f"not managed: the daemon (pid {daemon.pid}) was started without this file",)
    return ("not managed: `pipeline serve` is not running",)


def _last_run(store: Store, pipeline: str, status: PipelineStatus) -> Run | None:
    """Return the latest finished run, or None."""
    latest = store.runs.latest(pipeline, limit=len(status.runs) + 1)
    return next((run for run in latest if run.state.over), None)


def _commit(run: Run) -> str:
    return f" ({run.sha[:7]} {run.subject})" if run.sha else ""


def _reason(health: TargetHealth) -> str:
    return f"{health.reason}: {health.description}" if health.reason else health.description


def _unfinished_runs(status: PipelineStatus) -> list[UnfinishedRunResponse]:
    return [
        UnfinishedRunResponse(
            number=run.number,
            kind=run.kind,
            state=run.state,
            sha=run.sha,
            stage=status.stages.get(run.number),
            waits_for=run.waits_for or status.waits_of(run),
        )
        for run in status.runs
    ]
