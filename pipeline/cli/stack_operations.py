"""The commands of `pipeline stack` that change stacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.base.errors import ConfigError
from pipeline.cli.session import handle_interrupts, json_option
from pipeline.cli.stack_options import Template, name_argument, owner_option, region, template_options
from pipeline.cli.user import current_user

if TYPE_CHECKING:
    from pipeline.cli.stack_session import StackSession
    from pipeline.stacks.status import StackStatus

_NO_UPDATES = "No updates are to be performed."


@click.command("create")
@name_argument
@template_options
@click.option(
    "--on-failure",
    type=click.Choice(["rollback", "delete", "keep"]),
    default="rollback",
    show_default=True,
    help="What follows if a resource fails.",
)
@click.option("--timeout", metavar="DURATION", help="Longest time of the creation, such as 10m.")
@click.option("--protect", is_flag=True, help="Refuse to delete the stack until --protect is removed by the API.")
@owner_option
@json_option
def create(
    name: str,
    template: Path,
    parameters: tuple[str, ...],
    tags: tuple[str, ...],
    ignore_unknown: bool,
    on_failure: str,
    timeout: str | None,
    protect: bool,
    owner: str,
    as_json: bool,
) -> None:
    """Create a stack and wait for it.

    If a resource fails, everything that was made is deleted (exit code 4). Ctrl-C cancels in the same way.
    """
    from pipeline.cli.stack_session import stack_session
    from pipeline.http.stack_endpoints import CreateStack, StackCommands
    from pipeline.stacks.status import StackStatus

    body = {
        "name": name,
        "region": region(),
        "on_failure": "DO_NOTHING" if on_failure == "keep" else on_failure.upper(),
        "timeout": _seconds(timeout),
        "protected": protect,
        **Template(template, parameters, tags, ignore_unknown).body(),
    }
    with stack_session(owner, acting=True) as session:

        def begin() -> str:
            if session.daemon:
                return session.ask_to_create(body)
            request = CreateStack.model_validate({**body, "owner": owner, "by": current_user()})
            return StackCommands(lambda: session.stacks).create(request).id

        _carry_out(session, name, begin, StackStatus.CREATE_COMPLETE, as_json=as_json)


@click.command("update")
@name_argument
@template_options
@click.option("--keep", is_flag=True, help="Keep what was changed if a resource fails, instead of rolling back.")
@owner_option
@json_option
def update(
    name: str,
    template: Path,
    parameters: tuple[str, ...],
    tags: tuple[str, ...],
    ignore_unknown: bool,
    keep: bool,
    owner: str,
    as_json: bool,
) -> None:
    """Update a stack to a template and wait for it.

    Parameters that are not given keep their values. If a resource fails, all of it is rolled back (exit code 4). Ctrl-C
    cancels in the same way. Without changes, nothing is done.
    """
    from pipeline.cli.stack_session import stack_session
    from pipeline.http.stack_endpoints import StackCommands, UpdateStack
    from pipeline.stacks.status import StackStatus

    body = Template(template, parameters, tags, ignore_unknown).body()
    body["on_failure"] = "DO_NOTHING" if keep else "ROLLBACK"
    with stack_session(owner, acting=True) as session:

        def begin() -> str:
            if session.daemon:
                return session.ask(name, "update", body)
            request = UpdateStack.model_validate({**body, "owner": owner, "by": current_user()})
            return StackCommands(lambda: session.stacks).update(name, request).id

        try:
            _carry_out(session, name, begin, StackStatus.UPDATE_COMPLETE, as_json=as_json)
        except ConfigError as error:
            if error.message != _NO_UPDATES:
                raise
            click.echo("no changes", err=True)


@click.command("delete")
@name_argument
@click.option("--retain", multiple=True, metavar="RESOURCE", help="Resource to keep, after a deletion has failed.")
@click.option("--plan", is_flag=True, help="Show what would be deleted and kept, and delete nothing.")
@owner_option
@json_option
def delete(name: str, retain: tuple[str, ...], plan: bool, owner: str, as_json: bool) -> None:
    """Delete a stack with its resources and wait for it. Users are deleted before what they use."""
    if plan:
        from pipeline.cli.stack_deletion import show_deletion

        show_deletion(name, owner, retain, as_json=as_json)
        return
    from pipeline.cli.stack_session import stack_session
    from pipeline.stacks.status import StackStatus

    with stack_session(owner, acting=True) as session:

        def begin() -> str:
            stack = session.stacks.find(owner, name)
            if session.daemon:
                return session.ask(name, "delete", {"retain": list(retain)})
            session.stacks.delete(owner, name, retain, by=current_user())
            return stack.id

        _carry_out(session, name, begin, StackStatus.DELETE_COMPLETE, as_json=as_json)


@click.command("cancel")
@name_argument
@owner_option
def cancel(name: str, owner: str) -> None:
    """Cancel a stack's creation or update, which is rolled back then. Without a daemon, press Ctrl-C instead."""
    from pipeline.cli.stack_session import stack_session

    with stack_session(owner, acting=True) as session:
        stack = session.stacks.find(owner, name)
        if session.daemon:
            session.ask(name, "cancel", {})
        else:
            session.stacks.cancel(stack, by=current_user())
            session.stacks.wait(stack.id)
        click.echo(f"cancelling the operation on {name}")


@click.command("continue")
@name_argument
@click.option("--skip", multiple=True, metavar="RESOURCE", help="Resource to leave as it is.")
@owner_option
@json_option
def continue_rollback(name: str, skip: tuple[str, ...], owner: str, as_json: bool) -> None:
    """Continue a rollback of an update that has failed, and wait for it."""
    from pipeline.cli.stack_session import stack_session
    from pipeline.stacks.status import StackStatus

    with stack_session(owner, acting=True) as session:

        def begin() -> str:
            if session.daemon:
                return session.ask(name, "continue", {"skip": list(skip)})
            session.stacks.continue_rollback(owner, name, skip, by=current_user())
            return session.stacks.find(owner, name).id

        _carry_out(session, name, begin, StackStatus.UPDATE_ROLLBACK_COMPLETE, as_json=as_json)


@click.command("recover")
@owner_option
def recover(owner: str) -> None:
    """Continue all operations that were interrupted, and wait for them. A daemon does so by itself."""
    from pipeline.cli.stack_session import stack_session
    from pipeline.cli.stack_view import event_line

    with stack_session(owner, acting=True) as session, handle_interrupts() as cancelled:
        for stack_id in [] if session.daemon else session.stacks.store.unfinished():
            session.resume(stack_id, lambda event: click.echo(event_line(event)), cancelled)


def _carry_out(
    session: StackSession, name: str, begin: Callable[[], str], wanted: StackStatus, *, as_json: bool
) -> None:
    """Begin an operation and follow it to its end. Raises its error."""
    from pipeline.cli.stack_session import raise_outcome
    from pipeline.cli.stack_view import event_line, shown_events

    with handle_interrupts() as cancelled:
        session.resume(name, lambda event: click.echo(event_line(event), err=True), cancelled)
        last = session.last_event(name)
        stack_id = begin()
        with shown_events(session, stack_id, as_json=as_json) as show:
            stack = session.follow(stack_id, last, show, cancelled)
        raise_outcome(session, stack, wanted, cancelled)


def _seconds(text: str | None) -> float | None:
    from pipeline.base.quantity import parse_duration

    try:
        return parse_duration(text).total_seconds() if text else None
    except ValueError as error:
        raise ConfigError(f"--timeout: {error}") from error
