"""`pipeline balancer`: what the load balancer of this machine does, for all pipelines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from pipeline.base.home import Home
from pipeline.cli import balancer_explain, balancer_log, balancer_metrics
from pipeline.cli.session import json_option

if TYPE_CHECKING:
    from pipeline.cli.balancer_view import View

_SECOND = 1.0
# What the rates are over, when there was no look before.
_WHILE = timedelta(seconds=10)


@click.group("balancer", invoke_without_command=True)
@click.option("--watch", "watching", is_flag=True, help="Show it anew each second, until Ctrl-C.")
@json_option
@click.pass_context
def command(context: click.Context, watching: bool, as_json: bool) -> None:
    """Load balancers, listeners, rules, target groups and targets of every pipeline on this machine.

    Starts the balancer where it has died. Needs no pipeline.yaml.
    """
    if context.invoked_subcommand is None:
        look = _looks()
        if watching:
            with suppress(KeyboardInterrupt):
                _watch(look, as_json=as_json)
        else:
            _show(look(), as_json=as_json)


command.add_command(balancer_log.command)
command.add_command(balancer_metrics.command)
command.add_command(balancer_explain.command)


def _looks() -> Callable[[], View]:
    """What takes a look. Each one's rates are over the time since the one before."""
    from pipeline.balancer.balancer import Balancer
    from pipeline.cli.balancer_view import View

    balancer = Balancer(Home.locate().balancer)
    last = datetime.now(UTC) - _WHILE

    def look() -> View:
        nonlocal last
        begin, last = last, datetime.now(UTC)
        return View.of(balancer, begin, last)

    return look


def _show(view: View, *, as_json: bool) -> None:
    from pipeline.cli.balancer_tree import tree

    click.echo(json.dumps(view.as_data()) if as_json else "\n".join(tree(view)))


def _watch(look: Callable[[], View], *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        while True:
            _show(look(), as_json=as_json)
            time.sleep(_SECOND)
    from rich.live import Live
    from rich.text import Text

    from pipeline.cli.balancer_tree import tree

    with Live(refresh_per_second=4, vertical_overflow="crop") as live:
        while True:
            live.update(Text.from_ansi("\n".join(tree(look())), no_wrap=True, overflow="ellipsis"))
            time.sleep(_SECOND)
