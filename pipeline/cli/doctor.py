"""`pipeline doctor`: what this machine, its hosts and the pipeline lack."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.base.errors import ConfigError, ExitCode
from pipeline.base.home import Home
from pipeline.cli.session import FILE, file_option, json_option, parameter_option, split_parameter

if TYPE_CHECKING:
    from pipeline.config.load import Configuration
    from pipeline.doctor.finding import Finding

# In seconds, for all checks together.
_TIMEOUT = 20.0
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command("doctor")
@file_option
@parameter_option
@json_option
@click.pass_context
def command(ctx: click.Context, file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Check this machine, Docker, the balancer, the daemon, and the hosts of the file. Changes nothing.

    Each check prints one line: ok, warning or failed, and below it what to type. Exits with 1 if one has failed.
    Without a pipeline.yaml, it checks the machine alone.
    """
    from pipeline.doctor.all_checks import all_checks
    from pipeline.doctor.check import run_checks
    from pipeline.doctor.context import DoctorContext
    from pipeline.doctor.finding import Finding, Status

    findings, configuration = [], None
    try:
        configuration = _load(file, parameters)
    except ConfigError as error:
        text = error.message.partition("\n")[0]
        findings.append(Finding.failed(str(file), text, error.hint or f"pipeline validate {file}"))
    context = DoctorContext(Home.at(os.environ), os.environ, configuration)
    findings += run_checks(all_checks(context), _TIMEOUT)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in findings]))
    else:
        _show(findings)
    if any(each.status is Status.FAILED for each in findings):
        ctx.exit(ExitCode.FAILED)


def _load(file: Path, parameters: Sequence[str]) -> Configuration | None:
    """Return the configuration, or None without a file of the usual name. Raises `ConfigError`."""
    from pipeline.config.load import load

    if str(file) == FILE and not file.exists():
        return None
    return load(file, dict(split_parameter(each) for each in parameters), secrets_needed=False)


def _show(findings: Sequence[Finding]) -> None:
    width = max(len(each.check) for each in findings)
    for each in findings:
        status = click.style(each.status.ljust(7), fg=_COLOURS[each.status])
        click.echo(f"{status}  {each.check.ljust(width)}  {each.message}")
        if each.hint:
            click.echo(f"{'':{width + 11}}{each.hint}")
