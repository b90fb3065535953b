"""`pipeline scaling status`: policies, metrics, and the last changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.output import date, table
from pipeline.cli.session import Session, json_option, pipeline_options, session
from pipeline.event_kinds import EventKind

if TYPE_CHECKING:
    from pipeline.http.responses.scaling import ScalingDecisionResponse, ScalingResponse

_KINDS = frozenset(kind.value for kind in EventKind if kind.startswith("scaling."))
# The latest events that are searched for changes, and the changes that are shown.
_MAX_EVENTS, _MAX_CHANGES = 1000, 10


@click.command("status")
@pipeline_options
@json_option
def command(file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Show each scaled service: the wanted number of containers and its bounds, the metrics, and the last changes."""
    from pipeline.http.scaling_report import scaling_responses

    with session(file, parameters) as opened:
        found = scaling_responses(opened.store, opened.name)
        if as_json:
            click.echo(json.dumps([each.as_data() for each in found]))
            return
        if not found:
            click.echo(f"{opened.name} has no scaled service: add `scaling` to it in pipeline.yaml and deploy that")
            return
        changes = _changes(opened)
    rows = [(each.service, str(each.wanted), str(each.min), str(each.max), *_state(each)) for each in found]
    table(rows, "service", "wanted", "min", "max", "state", "reason")
    if metrics := [row for each in found for row in _metrics(each)]:
        click.echo()
        table(metrics, "service", "metric", "target", "last")
    if changes:
        click.echo()
        table(changes, "at", "change")


def _state(found: ScalingResponse) -> tuple[str, str]:
    if found.suspended_at is not None:
        return "suspended", f"since {date(found.suspended_at)}"
    if found.decision is None:
        return "active", "no decision yet; `pipeline serve` makes them"
    return "active", f"{found.decision.reason} ({date(found.decision.at)})"


def _metrics(found: ScalingResponse) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for each target of a policy. `last` is the metric at the last decision, for each replica."""
    for name, target in (found.policy.get("target") or {}).items():
        last = _last(name, found.decision) if found.decision else None
        yield found.service, name, f"{target:g}" if isinstance(target, float) else str(target), last or "-"


def _last(name: str, decision: ScalingDecisionResponse) -> str | None:
    match name:
        case "requests_per_target" if decision.requests is not None and decision.serving:
            return f"{decision.requests / decision.serving:.4g}"
        case "connections" if decision.connections is not None and decision.serving:
            return f"{decision.connections / decision.serving:.4g}"
        case "cpu" if decision.cpu is not None:
            return f"{decision.cpu:.3g}"
        case "response_time_p90" if decision.response_time is not None:
            return f"{decision.response_time * 1000:.4g}ms"
    return None


def _changes(opened: Session) -> list[tuple[str, str]]:
    """Return the latest changes, newest first."""
    events = opened.store.events.latest(opened.name, limit=_MAX_EVENTS)
    found = [(date(event.at), event.message) for event in reversed(events) if event.kind in _KINDS]
    return found[:_MAX_CHANGES]
