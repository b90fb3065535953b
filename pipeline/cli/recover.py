"""`pipeline recover`: repair the state after a crash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.base.home import Home
from pipeline.cli.output import print_event, show_json
from pipeline.cli.session import Session, json_option, pipeline_options, session
from pipeline.runner.status import PipelineStatus

if TYPE_CHECKING:
    from pipeline.balancer.balancer import Balancer


@click.command("recover")
@pipeline_options
@json_option
def command(file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """Repair the state after a crash, and start the balancer if it is not running.

    An interrupted deployment is rolled back to the last good release. `run`, `rollback` and `down` do so first, except
    that `run` continues one that has shifted traffic to the same release. If `pipeline serve` manages the pipeline, the
    daemon recovers it, and this command does nothing.
    """
    from pipeline.balancer.planes import open_balancer
    from pipeline.http.client import Daemon

    # Before the database is opened, which would upgrade it. Raises if the daemon is too old.
    Daemon.find(Home.locate())
    with session(file, parameters) as opened:
        status = PipelineStatus.of(opened.home, opened.store, opened.name)
        if status.served:
            assert status.daemon is not None
            message = f"nothing to do: the daemon (pid {status.daemon.pid}) recovers {opened.name}"
        else:
            # Restore traffic first, since the balancer needs no pipeline.yaml.
            message = _recover_balancer(open_balancer(opened.home.balancer))
            _remove_consoles(opened)
            _record_jobs(opened)
            has_accessories = _recover_accessories(opened, as_json=as_json)
            if status.interrupted or status.held:
                opened.runner([show_json if as_json else print_event]).recover_if_needed()
            elif not message:
                message = "" if has_accessories else "nothing to recover"
        if message and not as_json:
            click.echo(message)


def _remove_consoles(opened: Session) -> None:
    """Remove the containers that killed commands left behind, here and on the hosts of the pipeline that answer."""
    from contextlib import closing

    from pipeline.base.errors import EngineFault
    from pipeline.base.lock import is_held
    from pipeline.cli.missing_hosts import MissingHosts
    from pipeline.engine.cluster_members import console_of
    from pipeline.engine.console import abandoned
    from pipeline.engine.hosts import local_console

    home, cluster = opened.home, opened.store.clusters.of(opened.name)
    consoles = [local_console(home.id)]
    if not cluster.is_local:
        # The replicas of an earlier cluster were here.
        consoles.append(console_of(cluster, home.id, home.hosts))
    for console in consoles:
        with closing(console):
            try:
                for left in abandoned(console.containers(opened.name), lambda name: is_held(home.lock(name))):
                    console.remove(left.id)
                    home.lock(left.name).unlink(missing_ok=True)
            except EngineFault:
                # A host that is lost must not keep this machine from being repaired.
                if not console.missing:
                    raise
            MissingHosts("what killed commands left on it stays").update(console.missing)


def _record_jobs(opened: Session) -> None:
    """Record the ends of jobs whose process was killed. Those that still run are left to the daemon."""
    if not opened.store.job_runs.running(opened.name):
        return
    from pipeline.jobs.stop import record_ended
    from pipeline.runner.context import PipelineContext

    record_ended(PipelineContext(opened.home, opened.configuration, opened.store).stage_context())


def _recover_accessories(opened: Session, *, as_json: bool) -> bool:
    """Start the accessories that should run and complete what killed commands began. Return whether that took events.

    Without accessories, nothing of them is loaded.
    """
    if not opened.store.accessories.all(opened.name):
        return False
    from pipeline.accessories.accessories import Accessories
    from pipeline.engine.hosts import local_engine
    from pipeline.events import Event
    from pipeline.runner.context import PipelineContext

    told: list[Event] = []
    show = show_json if as_json else print_event
    context = PipelineContext(opened.home, opened.configuration, opened.store, [told.append, show])
    with context.masking_errors(), local_engine(opened.home.id) as engine:
        Accessories(context.stage_context(), engine).recover()
    return bool(told)


def _recover_balancer(balancer: Balancer) -> str:
    """Make the balancer run what is declared, and return what was done. Empty if it ran already."""
    was_running = balancer.pid() is not None
    if balancer.ensure_running():
        return "the balancer was not running: restarted"
    if was_running and balancer.pid() is None:
        return "the balancer was running, but nothing is declared: stopped"
    return ""
