"""`pipeline status`: the active release, current runs and the queue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.base.lock import holder
from pipeline.cli.output import date, table
from pipeline.cli.session import Session, json_option, pipeline_options, session
from pipeline.runner.restarts import Restarts, find_restarts
from pipeline.runner.status import PipelineStatus
from pipeline.store.records import Run

if TYPE_CHECKING:
    from pipeline.balancer.balancer import Balancer
    from pipeline.balancer.model import TargetHealth
    from pipeline.http.responses import UnfinishedRunResponse

# Of a longer queue, the first runs and the last one are shown.
_MAX_SHOWN = 10


@click.command("status")
@pipeline_options
@json_option
def command(file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Show the active release, current runs and the queue. Changes nothing.

    After a crash, `recover`, `run`, `rollback` and `down` repair the pipeline's state. `pipeline serve` does so for the
    pipelines that it manages.
    """
    from pipeline.balancer.planes import open_balancer

    with session(file, parameters) as opened:
        if isinstance(opened.loaded, ConfigError):
            click.echo(f"{file} is invalid: see `pipeline validate`. This is the current state:\n", err=True)
        balancer = open_balancer(opened.home.balancer)
        status = PipelineStatus.of(opened.home, opened.store, opened.name)
        broken, blocked = _broken(balancer, status), _blocked(balancer)
        targets, problem = _targets(balancer, opened.name)
        restarts = find_restarts(opened.home, opened.name) if targets else ()
        if as_json:
            click.echo(json.dumps(_as_data(opened, status, targets, [*broken, *blocked], restarts)))
            return
        _show(opened, status)
        for text in map(_describe_restarts, restarts):
            click.echo(text)
        for text in broken:
            click.echo(text if status.served else f"{text}: run `pipeline recover`")
        for text in blocked:
            click.echo(text)
        _show_balancer(balancer, opened.name, targets, problem)


def _broken(balancer: Balancer, status: PipelineStatus) -> list[str]:
    """Return one line per damage of a crash."""
    found = ["a run or a deployment was interrupted"] if status.interrupted else []
    if not balancer.registry().is_empty and balancer.pid() is None:
        found.append("the balancer is not running")
    elif stopped := balancer.stopped():
        found.append(f"the balancer is stopped by a signal (pid {', '.join(map(str, stopped))}): nothing is served")
    return found


def _blocked(balancer: Balancer) -> list[str]:
    """Return one line if a process that is stopped keeps all others from changing the balancer."""
    found = holder(balancer.directory / "lock")
    if found is None or not found.stopped:
        return []
    return [f"{found.purpose} (pid {found.pid}) holds the balancer and {found.state}: {found.remedy}"]


def _targets(balancer: Balancer, pipeline: str) -> tuple[list[TargetHealth], str]:
    """Return the targets, or the reason why they cannot be read."""
    declared = balancer.declaration(pipeline)
    groups = declared.target_groups if declared else ()
    if stopped := balancer.stopped():
        # It would not respond, and each request would wait for seconds.
        return [], f"HAProxy is stopped (pid {', '.join(map(str, stopped))})"
    try:
        return [health for group in groups for health in balancer.target_health(pipeline, group)], ""
    except BalancerFault as fault:
        return [], fault.message


def _show(opened: Session, status: PipelineStatus) -> None:
    active = opened.store.releases.active(opened.name)
    if active is None:
        click.echo(f"{opened.name}: no active release")
    else:
        click.echo(f"{opened.name}: release {active.number}, {active.sha[:7]} {active.subject}")
    click.echo(_manager(status))
    if last := _last_run(opened, status):
        reason = f": {last.reason}" if last.reason not in ("", last.state) else ""
        state = last.state.replace("_", " ")
        click.echo(f"last run: {last.kind} {last.number}, {state}, {date(last.finished_at or last.started_at)}{reason}")
    for run in status.runs[:_MAX_SHOWN]:
        click.echo(f"{run.kind} {run.number} {status.describe(run)}{_commit(run)}")
    if len(status.runs) > _MAX_SHOWN:
        click.echo(f"… and {len(status.runs) - _MAX_SHOWN} more, up to run {status.runs[-1].number}")
    for stage, reason in status.disabled.items():
        click.echo(f"transition into {stage.capitalize()} disabled: {reason} (pipeline transition enable {stage})")
    for text in status.drift:
        click.echo(f"repairing: {text}")


def _describe_restarts(restarts: Restarts) -> str:
    times = "once" if restarts.count == 1 else f"{restarts.count} times"
    last = f", last {date(restarts.last)}" if restarts.last else ""
    return f"{restarts.container} exited and was restarted {times}{last}: see `docker logs {restarts.container}`"


def _manager(status: PipelineStatus) -> str:
    daemon, worker = status.daemon, status.worker
    if status.served:
        assert daemon is not None
        text = f"managed by daemon (pid {daemon.pid}) since {date(daemon.since)}"
        return f"{text}, which {daemon.state}: {daemon.remedy}" if daemon.stopped else text
    if worker:
        text = f"{worker.purpose} (pid {worker.pid}) has been running since {date(worker.since)}"
        return f"{text} and {worker.state}: {worker.remedy}" if worker.stopped else text
    if daemon:
        return f"not managed: the daemon (pid {daemon.pid}) was started without this file"
    return "not managed: `pipeline serve` is not running"


def _show_balancer(balancer: Balancer, pipeline: str, targets: list[TargetHealth], problem: str) -> None:
    declared = balancer.declaration(pipeline)
    waiting = {found.port: str(found) for found in balancer.waiting_listeners(pipeline)}
    for name, _, listener in declared.listeners() if declared else ():
        if listener.port in waiting:
            click.echo(waiting[listener.port])
            continue
        click.echo(f"{name}: {listener.url} → {', '.join(sorted(listener.groups())) or 'fixed responses'}")
    if problem:
        click.echo(f"cannot read the targets: {problem}")
    if targets:
        click.echo()
        rows = [
            (h.target.id, str(h.state), str(h.in_flight), f"{h.target.address}:{h.target.port}", _reason(h))
            for h in targets
        ]
        table(rows, "target", "state", "in flight", "address", "reason")


def _last_run(opened: Session, status: PipelineStatus) -> Run | None:
    """Return the latest finished run, or None."""
    latest = opened.store.runs.latest(opened.name, limit=len(status.runs) + 1)
    return next((run for run in latest if run.state.over), None)


def _commit(run: Run) -> str:
    return f" ({run.sha[:7]} {run.subject})" if run.sha else ""


def _reason(health: TargetHealth) -> str:
    return f"{health.reason}: {health.description}" if health.reason else health.description


def _as_data(
    opened: Session,
    status: PipelineStatus,
    targets: list[TargetHealth],
    broken: list[str],
    restarts: Sequence[Restarts],
) -> dict[str, object]:
    from pipeline.http.responses import HolderResponse, LastRunResponse, StatusResponse

    active, last = opened.store.releases.active(opened.name), _last_run(opened, status)
    found = StatusResponse(
        pipeline=opened.name,
        release=active.number if active else None,
        sha=active.sha if active else None,
        served=status.served,
        daemon=HolderResponse.model_validate(status.daemon) if status.daemon else None,
        last_run=LastRunResponse.model_validate(last) if last else None,
        unfinished=_unfinished_runs(status),
        disabled_transitions=dict(status.disabled),
        drift=list(status.drift),
        broken=broken,
        targets=[health.model_dump(mode="json") for health in targets],
        restarts={found.container: found.count for found in restarts},
    )
    return found.as_data()


def _unfinished_runs(status: PipelineStatus) -> list[UnfinishedRunResponse]:
    from pipeline.http.responses import UnfinishedRunResponse

    return [
        UnfinishedRunResponse(
            number=run.number,
            kind=run.kind,
            state=run.state,
            sha=run.sha,
            stage=status.stages.get(run.number),
            waits_for=run.waits_for,
        )
        for run in status.runs
    ]
