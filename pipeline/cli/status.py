"""`pipeline status`: what serves now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.output import date, show_line, table
from pipeline.cli.session import Session, json_option, pipeline_options, session
from pipeline.errors import ConfigError
from pipeline.lock import is_held

if TYPE_CHECKING:
    from pipeline.balancer.model import Declaration, TargetHealth


@click.command("status")
@pipeline_options
@json_option
def command(file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Say what serves now. Puts right what a crash left behind, and starts the balancer where it has died."""
    from pipeline.balancer.balancer import Balancer

    with session(file, parameters) as opened:
        if isinstance(opened.loaded, ConfigError):
            click.echo(f"{file} has mistakes, which `pipeline validate` lists; this is what serves\n", err=True)
        else:
            opened.runner([] if as_json else [show_line]).heal()
        balancer = Balancer(opened.home.balancer)
        if balancer.ensure_running() and not as_json:
            click.echo("the balancer was not running: started again")
        declared = balancer.declared(opened.name)
        groups = declared.target_groups if declared else ()
        targets = [h for group in groups for h in balancer.target_health(opened.name, group)]
        if as_json:
            click.echo(json.dumps(_as_data(opened, targets)))
        else:
            _show(opened, declared, targets)


def _show(opened: Session, declared: Declaration | None, targets: list[TargetHealth]) -> None:
    active = opened.store.active_release(opened.name)
    if active is None:
        click.echo(f"{opened.name}: nothing is in service")
    else:
        click.echo(f"{opened.name}: release {active.number}, {active.sha[:7]} {active.subject}")
    for run in opened.store.runs(opened.name, limit=1):
        reason = f": {run.reason}" if run.reason else ""
        click.echo(f"last run: {run.kind} {run.number}, {run.state.replace('_', ' ')}, {date(run.started_at)}{reason}")
    if is_held(opened.home.lock(opened.name)):
        click.echo("somebody is working on it now")
    for name, _, listener in declared.listeners() if declared else ():
        click.echo(f"{name}: {listener.url} → {', '.join(sorted(listener.groups())) or 'answers by itself'}")
    if targets:
        click.echo()
        rows = [
            (h.target.id, str(h.state), str(h.in_flight), f"{h.target.address}:{h.target.port}", _reason(h))
            for h in targets
        ]
        table(rows, "target", "state", "in flight", "address", "reason")


def _reason(health: TargetHealth) -> str:
    return f"{health.reason}: {health.description}" if health.reason else health.description


def _as_data(opened: Session, targets: list[TargetHealth]) -> dict[str, object]:
    active = opened.store.active_release(opened.name)
    runs = opened.store.runs(opened.name, limit=1)
    return {
        "pipeline": opened.name,
        "release": active.number if active else None,
        "sha": active.sha if active else None,
        "last_run": {"number": runs[0].number, "state": runs[0].state, "reason": runs[0].reason} if runs else None,
        "targets": [h.model_dump(mode="json") for h in targets],
    }
