"""`pipeline node`: the machines that run replicas."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.output import table
from pipeline.cli.session import (
    Session,
    event_output,
    handle_interrupts,
    json_option,
    parse_wait,
    pipeline_options,
    session,
    wait_option,
)

if TYPE_CHECKING:
    from pipeline.engine.cluster import ClusterSpec
    from pipeline.engine.open_cluster import OpenCluster
    from pipeline.engine.reachable_host import HostChange
    from pipeline.runner.nodes import Nodes

_name = click.argument("name")


@click.group("node")
def command() -> None:
    """Show the machines that run replicas, and keep one free of them."""


@command.command("list")
@pipeline_options
@json_option
def show(file: Path, parameters: tuple[str, ...], as_json: bool) -> None:
    """List the machines with the number of their replicas. Waits up to 10 s for one that does not answer.

    A `drained` one takes no replicas. One that is `leaving` is not in pipeline.yaml any more and may still have some.
    """
    with session(file, parameters) as opened, _nodes(opened) as nodes:
        found = nodes.all()
    if as_json:
        from pipeline.http.responses.node import NodeResponse

        click.echo(json.dumps([NodeResponse.from_node(node).as_data() for node in found]))
        return
    rows = [
        (each.name, each.engine, each.zone, each.use, "?" if each.replicas is None else str(each.replicas), each.fault)
        for each in found
    ]
    table(rows, "name", "engine", "zone", "use", "replicas", "")


@command.command("drain")
@_name
@pipeline_options
@wait_option
@json_option
def drain(name: str, file: Path, parameters: tuple[str, ...], wait: str | None, as_json: bool) -> None:
    """Move the replicas of NAME to other machines, by the steps and limits of a deployment, and let it take none.

    No request is lost. It takes replicas again after `pipeline node resume`.
    """
    from pipeline.cli.daemon_run import submit_or_run

    timeout = parse_wait(wait)
    with (
        session(file, parameters, acting=True, secrets_needed=True) as opened,
        handle_interrupts() as cancelled,
        event_output(opened, as_json=as_json) as shown,
    ):
        with _nodes(opened) as nodes:
            nodes.check_drain(name)
        submit_or_run(
            opened,
            {"kind": "drain", "requested": name},
            lambda runner: runner.drain(name, wait=timeout),
            shown,
            cancelled,
        )


@command.command("resume")
@_name
@pipeline_options
def resume(name: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Let NAME take replicas again. The next deployment uses it."""
    with session(file, parameters) as opened, _nodes(opened) as nodes:
        if not nodes.resume(name):
            click.echo(f"{name} is not drained")


@command.command("forget")
@_name
@pipeline_options
def forget(name: str, file: Path, parameters: tuple[str, ...]) -> None:
    """Give up NAME, which is not in pipeline.yaml any more, with what may still run there.

    A machine that has left is forgotten without this command once it answers and is empty.
    """
    with session(file, parameters) as opened, _nodes(opened) as nodes:
        nodes.forget(name)


@contextmanager
def _nodes(opened: Session) -> Iterator[Nodes]:
    from pipeline.engine.clusters import open_cluster
    from pipeline.events import Events
    from pipeline.runner.nodes import HostNodes

    events = Events(opened.name, by=opened.user)
    events.subscribe(opened.store.events.record)
    events.subscribe(lambda event: click.echo(event.message))
    home = opened.home

    def connect(cluster: ClusterSpec, on_change: Callable[[HostChange], object]) -> OpenCluster:
        return open_cluster(cluster, home.id, home.hosts, on_change=on_change)

    yield HostNodes(opened.store, opened.name, events, connect)
