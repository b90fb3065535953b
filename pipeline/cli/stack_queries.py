"""The commands of `pipeline stack` that only read."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.output import date, table
from pipeline.cli.session import json_option
from pipeline.cli.stack_options import (
    Template,
    name_argument,
    owner_option,
    read_template,
    split_pairs,
    template_options,
)

if TYPE_CHECKING:
    from pipeline.stacks.records import StackEvent


@click.command("list")
@owner_option
@click.option("--all", "everything", is_flag=True, help="Also stacks that were deleted.")
@json_option
def listing(owner: str, everything: bool, as_json: bool) -> None:
    """List the stacks."""
    from pipeline.cli.stack_session import stack_session
    from pipeline.http.stack_report import stack_response

    with stack_session(owner) as session:
        stacks = [stack for stack in session.stacks.store.all(owner) if everything or stack.deleted is None]
        if as_json:
            click.echo(json.dumps([stack_response(stack).as_data() for stack in stacks]))
            return
        rows = [
            (stack.name, stack.status, date((stack.updated or stack.created).wall), stack.goal.description or "")
            for stack in stacks
        ]
        table(rows, "name", "status", "changed", "description")


@click.command("events")
@name_argument
@click.option("--follow", is_flag=True, help="Wait for more, until the operation has ended.")
@owner_option
@json_option
def events(name: str, follow: bool, owner: str, as_json: bool) -> None:
    """List the events of a stack, oldest first. STACK is a name, or the ARN of a stack that was deleted."""
    from pipeline.cli.stack_session import stack_session
    from pipeline.cli.stack_view import event_line
    from pipeline.http.stack_report import event_response

    with stack_session(owner) as session:
        stack = session.stacks.find(owner, name)

        def show(event: StackEvent) -> None:
            data = event_response(stack, event).as_data() if as_json else None
            click.echo(json.dumps(data) if data else event_line(event, dated=True))

        last = 0
        for number, event in session.stacks.store.events(stack.id):
            last = number
            show(event)
        if follow:
            session.follow(stack.id, last, show, threading.Event())


@click.command("resources")
@name_argument
@owner_option
@json_option
def resources(name: str, owner: str, as_json: bool) -> None:
    """List the resources of a stack, in the order in which they were made."""
    from pipeline.cli.stack_session import stack_session
    from pipeline.http.stack_report import resource_response

    with stack_session(owner) as session:
        stack = session.stacks.find(owner, name)
        found = [resource_response(each) for each in session.stacks.store.resources(stack.id)]
    if as_json:
        click.echo(json.dumps([each.as_data() for each in found]))
        return
    rows = [(each.resource, each.type, each.status, each.physical_id or "", each.reason) for each in found]
    table(rows, "resource", "type", "status", "physical id", "reason")


@click.command("changes")
@name_argument
@template_options
@owner_option
@json_option
def changes(
    name: str,
    template: Path,
    parameters: tuple[str, ...],
    tags: tuple[str, ...],
    ignore_unknown: bool,
    owner: str,
    as_json: bool,
) -> None:
    """Show what an update of a stack would change. Changes nothing.

    Replacement `Conditional` means that a resource is replaced if another one gets another value.
    """
    from pipeline.cli.stack_changes import show_changes
    from pipeline.cli.stack_session import stack_session
    from pipeline.http.stack_endpoints import UpdateStack, stack_request

    body = Template(template, parameters, tags, ignore_unknown).body()
    with stack_session(owner) as session:
        stack = session.stacks.find(owner, name)
        goal, evaluated = session.stacks.goals.goal(stack, stack_request(UpdateStack.model_validate(body)))
        found = session.stacks.changes(stack, goal, evaluated)
        if as_json:
            click.echo(json.dumps(found))
        else:
            show_changes(found, differs=session.stacks.differs(stack, goal, evaluated))


@click.command("drift")
@name_argument
@owner_option
@json_option
def drift(name: str, owner: str, as_json: bool) -> None:
    """Compare the resources of a stack with what exists. Changes nothing. The exit code is 1 if they differ."""
    from pipeline.base.errors import StageFailed
    from pipeline.cli.stack_changes import show_drift
    from pipeline.cli.stack_session import stack_session
    from pipeline.stacks.drifts import Drifts

    with stack_session(owner) as session:
        report = Drifts(session.stacks).detect(owner, name)
        if as_json:
            click.echo(json.dumps({"status": report.status, "resources": [dict(found) for found in report.resources]}))
        else:
            show_drift(report)
        if report.status == "DRIFTED":
            raise StageFailed(f"{name} has drifted", hint="`pipeline stack update` with another value brings it back")


@click.command("outputs")
@name_argument
@owner_option
@json_option
def outputs(name: str, owner: str, as_json: bool) -> None:
    """Print the outputs of a stack."""
    from pipeline.cli.stack_session import stack_session

    with stack_session(owner) as session:
        found = session.stacks.find(owner, name).outputs
        if as_json:
            click.echo(json.dumps({output.name: output.value for output in found}))
        else:
            table([(o.name, o.value, o.export or "", o.description) for o in found], "name", "value", "export", "")


@click.command("validate")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-p", "--parameters", "parameters", multiple=True, metavar="KEY=VALUE", help="Check with these values as well."
)
@click.option("--ignore-unknown", is_flag=True, help="Accept types that are not offered.")
@json_option
def validate(file: Path, parameters: tuple[str, ...], ignore_unknown: bool, as_json: bool) -> None:
    """Check a template: its language, its types and, with --parameters, its values. Changes nothing."""
    from pipeline.cli.stack_changes import show_summary
    from pipeline.cli.stack_session import stack_session
    from pipeline.stacks.validate import validated

    text, values = read_template(file), split_pairs("--parameters", parameters)
    with stack_session("aws") as session:
        summary = validated(session.stacks, text, str(file), values, ignore_unknown=ignore_unknown)
    if as_json:
        click.echo(json.dumps(summary))
    else:
        show_summary(file, summary)
