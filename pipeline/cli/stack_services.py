"""`pipeline stack services`: the ECS services that stacks have made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.errors import EngineFault
from pipeline.base.home import Home
from pipeline.cli.output import table
from pipeline.cli.session import json_option
from pipeline.cli.stack_options import owner_option

if TYPE_CHECKING:
    from pipeline.ecs.ecs import Ecs
    from pipeline.ecs.records import Service


@click.command("services")
@owner_option
@json_option
def command(owner: str, as_json: bool) -> None:
    """List the ECS services of stacks.

    `status`, `logs`, `history`, `releases`, `events` and `recover` show one with -p NAME.
    """
    from pipeline.ecs.ecs import Ecs

    ecs = Ecs(Home.locate())
    try:
        found = [_data(ecs, service) for service in ecs.store.read().services if service.owner == owner]
    finally:
        ecs.close()
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = [
        (
            each["name"],
            each["task_definition"].rpartition("/")[2],
            "?" if each["running"] is None else f"{each['running']} of {each['desired']}",
            each["state"],
            each["pipeline"],
        )
        for each in found
    ]
    table(rows, "service", "task definition", "tasks", "last deployment", "pipeline")


def _data(ecs: Ecs, service: Service) -> dict[str, Any]:
    definition = ecs.definition(service)
    run = next(iter(ecs.runs.runs.latest(service.pipeline, limit=1)), None)
    return {
        "name": service.name,
        "arn": service.arn,
        "pipeline": service.pipeline,
        "task_definition": definition.arn if definition else service.wanted.task_definition,
        "desired": ecs.services.count(service),
        "running": _running(service),
        "state": run.state.replace("_", " ") if run else "",
    }


def _running(service: Service) -> int | None:
    """Return the number of tasks that run, None if Docker does not tell."""
    from pipeline.ecs.tasks import containers_of, tasks_of

    try:
        tasks = tasks_of(service, containers_of(Home.locate()))
    except EngineFault:
        return None
    return sum(task.status == "RUNNING" for task in tasks)
