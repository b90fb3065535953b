"""`pipeline scaling simulate`: a scaling policy on recorded requests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.errors import ConfigError, SystemFault
from pipeline.base.quantity import parse_duration
from pipeline.cli.session import json_option

if TYPE_CHECKING:
    from pipeline.scaling.policy import ScalingPolicy
    from pipeline.scaling.simulation.log import RecordedLoad
    from pipeline.scaling.simulation.model import ServiceModel, SimulationResult

_REPLICAS = click.IntRange(1, 500)
_Command = Callable[..., None]


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _policy_options(function: _Command) -> _Command:
    for option in reversed(
        (
            click.option("--policy", type=click.Path(path_type=Path), help="File with the key scaling."),
            click.option("--service", help="The service in the file whose policy is used."),
            click.option("--min", "least", type=int, help="The smallest number of replicas.  [default: 1]"),
            click.option("--max", "most", type=int, help="The largest number of replicas."),
            click.option(
                "--target", "targets", multiple=True, metavar="METRIC=VALUE", help="Such as requests_per_target=100."
            ),
            click.option("--scale-out-cooldown", help="As in the file, such as 15s."),
            click.option("--scale-in-cooldown", help="As in the file, such as 5m."),
        )
    ):
        function = option(function)
    return function


def _model_options(function: _Command) -> _Command:
    algorithms = click.Choice(["round_robin", "least_outstanding_requests"])
    for option in reversed(
        (
            click.option(
                "--concurrency",
                type=click.IntRange(1, 10_000),
                default=8,
                show_default=True,
                help="Requests that a replica works on at the same time.",
            ),
            click.option(
                "--start-time",
                type=_Duration(),
                default="5s",
                show_default=True,
                help="From a decision until a new replica gets requests.",
            ),
            click.option(
                "--max-wait", type=_Duration(), default="30s", show_default=True, help="Longer waits are rejected."
            ),
            click.option("--algorithm", type=algorithms, default="round_robin", show_default=True, help="The routing."),
            click.option("--initial", type=_REPLICAS, help="Replicas at the begin.  [default: min, at least 1]"),
            click.option(
                "--fixed", type=_REPLICAS, help="Compare with this number.  [default: the most that the policy used]"
            ),
        )
    ):
        function = option(function)
    return function


@click.command("simulate", short_help="Simulate a policy on an access log.")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@_policy_options
@click.option("--target-group", help="Use only the requests of this target group.")
@_model_options
@click.option("--plot", is_flag=True, help="Print charts of load, replicas and response time.")
@click.option("--svg", type=click.Path(path_type=Path), help="Write the charts into this file.")
@json_option
def command(
    logs: tuple[Path, ...],
    policy: Path | None,
    service: str | None,
    target_group: str | None,
    initial: int | None,
    fixed: int | None,
    plot: bool,
    svg: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Simulate how many replicas a policy would run for the requests in LOG, and how long responses would take.

    LOG has the form of an Application Load Balancer's access log, as `pipeline balancer log` prints it. It may be
    compressed with gzip. The work for a request is its target_processing_time. Nothing is changed.
    """
    from pipeline.base.local_zone import local_zone
    from pipeline.scaling.simulation.log import read_log
    from pipeline.scaling.simulation.simulator import simulate, simulate_fixed

    chosen, model = _policy(policy, service, options), _model(options)
    load = read_log(logs, target_group)
    count = max(1, chosen.min) if initial is None else initial
    start = datetime.fromtimestamp(load.start, UTC)
    result = simulate(load.requests(), chosen, model, initial=count, start=start, zone=chosen.zone(local_zone()))
    number = fixed or result.most_replicas
    compared = simulate_fixed(load.requests(), number, model)
    if as_json:
        click.echo(json.dumps(_data(result, compared, number, load)))
    else:
        _show(result, compared, number, load)
    if plot:
        _plot(result)
    if svg is not None:
        _write_svg(svg, result, number, logs)


def _policy(file: Path | None, service: str | None, options: dict[str, Any]) -> ScalingPolicy:
    from pipeline.config.scaling_policy import policy_from_options, read_policy

    names = {
        "min": "least",
        "max": "most",
        "scale_out_cooldown": "scale_out_cooldown",
        "scale_in_cooldown": "scale_in_cooldown",
    }
    given = {key: options[name] for key, name in names.items() if options[name] is not None}
    if options["targets"]:
        given["target"] = dict(map(_target, options["targets"]))
    if file is None:
        if "max" not in given or "target" not in given:
            raise ConfigError(
                "a policy is required", hint="--policy FILE, or --max 10 --target requests_per_target=100"
            )
        return policy_from_options(given)
    if given:
        raise ConfigError("--policy has the policy, so its other options cannot be given too", hint="change the file")
    return read_policy(file, service)


def _target(text: str) -> tuple[str, float | str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise ConfigError(f"--target {text}: must be METRIC=VALUE, such as requests_per_target=100")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _model(options: dict[str, Any]) -> ServiceModel:
    from pipeline.scaling.simulation.model import ServiceModel

    return ServiceModel(
        concurrency=options["concurrency"],
        start_time=options["start_time"].total_seconds(),
        max_wait=options["max_wait"].total_seconds(),
        algorithm=options["algorithm"],
    )


def _data(result: SimulationResult, fixed: SimulationResult, count: int, load: RecordedLoad) -> dict[str, Any]:
    return {
        "start": datetime.fromtimestamp(load.start, UTC).isoformat(),
        "requests": result.requests,
        "rejected": result.rejected,
        "replica_hours": result.replica_hours,
        "fixed": {"replicas": count, "replica_hours": fixed.replica_hours, "rejected": fixed.rejected},
        "without_time": load.without_time,
        "skipped": load.skipped,
        "damaged": load.damaged,
        "minutes": [asdict(period) for period in result.periods],
        "changes": [asdict(change) for change in result.changes],
    }


def _show(result: SimulationResult, fixed: SimulationResult, count: int, load: RecordedLoad) -> None:
    from pipeline.cli.console import show, table

    rows = [_row("policy", result), _row(f"{count} replicas", fixed)]
    show(table(rows, "", "replicas", "replica-hours", "changes", "p99, median", "p99, worst minute", "rejected"))
    saved = 1 - result.replica_hours / fixed.replica_hours
    words = f"{saved:.0%} less" if saved >= 0 else f"{-saved:.0%} more"
    click.echo(f"{result.requests:,} requests in {len(result.periods):,} minutes; {words} replica-hours than {count}")
    notes = {
        "without target_processing_time, simulated with the median": load.without_time,
        "entries not for the target group, skipped": load.skipped,
        "damaged lines, skipped": load.damaged,
    }
    for text, number in notes.items():
        if number:
            click.echo(f"{number:,} {text}", err=True)


def _row(name: str, result: SimulationResult) -> tuple[str, ...]:
    counts = [period.replicas for period in result.periods]
    late = sorted(period.p99 for period in result.periods if period.p99 is not None)
    median, worst = (f"{value * 1000:.0f} ms" for value in (late[len(late) // 2], late[-1])) if late else ("-", "-")
    replicas = f"{min(counts)} to {result.most_replicas}"
    hours = f"{result.replica_hours:.1f}"
    return name, replicas, hours, str(len(result.changes)), median, worst, f"{result.rejected:,}"


def _plot(result: SimulationResult) -> None:
    from pipeline.scaling.simulation.terminal import charts

    click.echo(charts(result, shutil.get_terminal_size().columns))


def _write_svg(path: Path, result: SimulationResult, fixed: int, logs: tuple[Path, ...]) -> None:
    from pipeline.scaling.simulation.svg import as_svg

    try:
        path.write_text(as_svg(result, f"Simulated scaling of {', '.join(log.name for log in logs)}", fixed))
    except OSError as error:
        raise SystemFault(f"cannot write {path}: {error.strerror}") from error
    click.echo(f"wrote {path}", err=True)
