"""`pipeline demo`: a demonstration of all features in about a minute."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from pipeline.base.errors import StageFailed
from pipeline.cli.output import print_event, show_json
from pipeline.cli.output import table as show_table
from pipeline.cli.session import handle_interrupts, json_option
from pipeline.event_kinds import EventKind
from pipeline.events import Event

if TYPE_CHECKING:
    from pipeline.demo import Demo, DemoReport


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep everything running at the end.")
@json_option
def command(keep: bool, as_json: bool) -> None:
    """Build, test and roll out a commit under load, then kill a container, deploy a broken commit and roll back.

    Works in a temporary directory, which it removes. Exit code 0 only if no request was lost.
    """
    from pipeline.demo import Demo, table

    with handle_interrupts() as cancelled:
        demo = Demo(cancelled)
        try:
            report = _play(demo, as_json=as_json)
        finally:
            demo.close(keep)
    if as_json:
        click.echo(json.dumps(report.load.as_data()))
    else:
        click.echo()
        show_table(table(report), "phase", "sent", "failed", "longest gap", "p50", "p99", "took")
        click.echo()
    if keep:
        click.echo(f"kept: cd {demo.repository} && PENSTOCK_HOME={demo.home.root} pipeline status", err=as_json)
    if report.load.failed:
        lost = tuple(f"{f.at:8.3f} s  {f.phase}: {f.method}: {f.reason}" for f in report.load.failures)
        raise StageFailed(f"{report.load.failed} of {report.load.sent} requests were lost", tail=lost)
    click.echo(f"{report.load.sent} requests, none lost", err=as_json)


def _play(demo: Demo, *, as_json: bool) -> DemoReport:
    """Run the demonstration and show its events: as JSON, as a live view on a terminal, or one line each."""
    if as_json:
        return demo.play(show_json)
    if not sys.stdout.isatty():
        return demo.play(_show)
    from pipeline.cli.live import LiveView
    from pipeline.demo import NAME

    with LiveView(demo.home, NAME, demo.figures) as view:
        return demo.play(view.on_event)


def _show(event: Event) -> None:
    if event.kind == EventKind.DEMO_STEP:
        click.echo()
        click.echo(click.style(event.message, bold=True))
    else:
        print_event(event)
