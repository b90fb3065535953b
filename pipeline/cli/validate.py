"""`pipeline validate`: report every mistake in pipeline.yaml."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.base.errors import ConfigError, PenstockError
from pipeline.base.home import Home
from pipeline.cli.session import FILE, json_option, parameter_option

if TYPE_CHECKING:
    from pipeline.balancer.model import Rule
    from pipeline.config.models import Pipeline


@click.command("validate")
@click.argument("file", type=click.Path(path_type=Path), default=FILE)
@parameter_option
@json_option
def command(file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Report every mistake in FILE with its line. Changes nothing.

    The values of secrets are not needed, but a secrets file that exists must be valid.
    """
    from pipeline.cli.session import located, split_parameter
    from pipeline.config.load import load

    given: Sequence[str] = parameters
    if any("=" not in parameter for parameter in parameters):
        file, given = located(Home.locate(), file, parameters)
    overrides = dict(split_parameter(p) for p in given)
    try:
        configuration = load(file, overrides, secrets_needed=False, secrets_checked=True)
    except ConfigError as error:
        if as_json:
            click.echo(json.dumps([{"file": str(file), **vars(p)} for p in error.problems]))
        raise
    if as_json:
        click.echo("[]")
        return
    click.echo(f"{file}: {configuration.pipeline.name} is valid")
    for warning in _warnings(configuration.pipeline):
        click.echo(f"warning: {warning}", err=True)


def _warnings(pipeline: Pipeline) -> Iterator[str]:
    """Yield what is valid but has a disadvantage, or does not work with what the balancer of this home has now."""
    from pipeline.balancer.planes import open_balancer

    yield from _slow_expressions(pipeline)
    yield from _lost_output(pipeline)
    with suppress(PenstockError):
        yield from map(
            str, open_balancer(Home.locate(os.environ).balancer).waiting_after(pipeline.name, pipeline.balancer)
        )


def _lost_output(pipeline: Pipeline) -> Iterator[str]:
    from pipeline.config.logging_driver import unreadable

    for name, service in pipeline.deploy.all_services().items():
        section = f"deploy.services.{name}" if pipeline.deploy.services else "deploy"
        if text := unreadable(service.logging):
            yield f"{section}.logging: {text}"
    for name, accessory in pipeline.accessories.items():
        if text := unreadable(accessory.logging, f"pipeline accessory logs {name}"):
            yield f"accessories.{name}.logging: {text}"


def _slow_expressions(pipeline: Pipeline) -> Iterator[str]:
    from pipeline.balancer.backtracking import safe_length

    for name, _, listener in pipeline.balancer.listeners():
        for rule in listener.rules:
            for regex, consequence in _expressions(rule):
                length = safe_length(regex)
                if length is not None:
                    yield (
                        f"rule {rule.priority} on port {listener.port} of load balancer {name}: HAProxy may give up on "
                        f"{regex} in a text of more than {length} characters, and {consequence}"
                    )


def _expressions(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield the regular expressions of a rule, each with what happens if HAProxy gives up on it."""
    for condition in rule.conditions:
        for regex in getattr(condition.config, "regex_values", ()):
            yield regex, "the rule does not apply then"
    for rewrite in (rule.transforms.host_header_rewrite, rule.transforms.url_rewrite):
        if rewrite is not None:
            yield rewrite.regex, "nothing is rewritten then"
