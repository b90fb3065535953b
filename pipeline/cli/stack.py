"""`pipeline stack`: stacks of resources from templates, as CloudFormation has them."""

from __future__ import annotations

import click

from pipeline.cli.stack_operations import cancel, continue_rollback, create, delete, recover, update
from pipeline.cli.stack_queries import changes, drift, events, listing, outputs, resources, validate
from pipeline.cli.stack_services import command as services


@click.group("stack")
def command() -> None:
    """Create, update and delete stacks: resources from a template in the language of CloudFormation.

    A daemon of this home carries out the operations. Without one, the command does.
    """


for _command in (
    create,
    update,
    delete,
    cancel,
    continue_rollback,
    recover,
    listing,
    services,
    events,
    resources,
    changes,
    drift,
    outputs,
    validate,
):
    command.add_command(_command)
