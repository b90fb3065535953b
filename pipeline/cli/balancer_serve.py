"""`pipeline balancer serve`: the balancer and its AWS APIs, without pipelines."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from datetime import UTC, datetime

import click

from pipeline.base.clock import SYSTEM
from pipeline.base.home import Home
from pipeline.base.lock import work_lock
from pipeline.cli.aws_endpoint import aws_server, zone_option
from pipeline.cli.output import clock
from pipeline.event_kinds import EventKind


@click.command("serve", short_help="Serve the AWS APIs of the balancer, without pipelines.")
@click.option(
    "--aws",
    metavar="HOST:PORT",
    default="127.0.0.1:4566",
    show_default=True,
    help="Address of the AWS APIs, on a loopback address.",
)
@zone_option
def command(aws: str, zones: tuple[str, ...]) -> None:
    """Keep the balancer running and serve its AWS APIs, until SIGINT or SIGTERM.

    HAProxy continues to run. `pipeline serve --aws` does the same beside its pipelines.
    """
    from pipeline.balancer.planes import open_balancer, open_monitor
    from pipeline.base.logging import configure_logging
    from pipeline.daemon.balancer_supervisor import BalancerSupervisor
    from pipeline.daemon.certificate_renewal import CertificateRenewal
    from pipeline.daemon.scheduler import Scheduler
    from pipeline.daemon.stack_supervisor import StackSupervisor
    from pipeline.store.store import Store

    configure_logging(as_json=False)
    home = Home.locate()
    with ExitStack() as stack:
        stack.enter_context(work_lock(home.daemon_lock, "pipeline balancer serve"))
        stacks = StackSupervisor(home, stack.enter_context(Store(home.database)).stacks.has_unfinished, zones=zones)
        stack.callback(stacks.close)
        stack.enter_context(aws_server(home, aws, zones, stacks))
        scheduler = stack.enter_context(Scheduler(SYSTEM))
        scheduler.add("interrupted operations on stacks", stacks.step)
        scheduler.add("renewal of certificates", CertificateRenewal(home, _print_event, SYSTEM).step)
        supervisor = BalancerSupervisor(
            open_balancer(home.balancer), _print_event, SYSTEM, monitor=open_monitor(home.balancer)
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: supervisor.stop())
        click.echo(f"serving the AWS APIs at http://{aws}", err=True)
        supervisor.run_forever()


def _print_event(kind: EventKind, message: str, **_: object) -> None:  # noqa: ARG001
    click.echo(f"{clock(datetime.now(UTC))}  {message}")
