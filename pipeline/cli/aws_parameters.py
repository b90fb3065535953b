"""`pipeline aws parameters`: parameters of SSM, without a client of AWS."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from pipeline.aws.errors import AwsError
from pipeline.aws.keys import DEFAULT_OWNER
from pipeline.aws.service import Call
from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.cli.output import date, table
from pipeline.cli.session import json_option

_REGION = "us-east-1"
owner_option = click.option("--owner", default=DEFAULT_OWNER, show_default=True, help="Owner of the parameters.")


@click.group("parameters")
def command() -> None:
    """Manage the parameters of SSM that templates read."""


@command.command("put")
@click.argument("name")
@click.argument("value")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["String", "StringList", "SecureString"]),
    default="String",
    show_default=True,
    help="Type of the value.",
)
@owner_option
def put(name: str, value: str, kind: str, owner: str) -> None:
    """Make a parameter, or a new version of it. The VALUE - is read from the standard input."""
    given = sys.stdin.read().rstrip("\n") if value == "-" else value
    made = _call("PutParameter", owner, Name=name, Value=given, Type=kind, Overwrite=True)
    click.echo(f"{name}: version {made['Version']}")


@command.command("list")
@owner_option
@json_option
def list_parameters(owner: str, as_json: bool) -> None:
    """List the parameters. Values of SecureStrings are not shown."""
    names = [each["Name"] for each in _call("DescribeParameters", owner, MaxResults=sys.maxsize)["Parameters"]]
    found = _call("GetParameters", owner, Names=names)["Parameters"]
    if as_json:
        click.echo(json.dumps(found, default=str))
    elif found:
        rows = [(f["Name"], f["Type"], f["Value"], str(f["Version"]), date(f["LastModifiedDate"])) for f in found]
        table(rows, "name", "type", "value", "version", "changed")
    else:
        click.echo("there are no parameters")


@command.command("delete")
@click.argument("name")
@owner_option
def delete(name: str, owner: str) -> None:
    """Delete a parameter. Stacks keep the value that they have read."""
    _call("DeleteParameter", owner, Name=name)
    click.echo(f"deleted {name}")


def _call(operation: str, owner: str, **parameters: Any) -> Mapping[str, Any]:
    from pipeline.parameter_store.ssm import ssm_service
    from pipeline.parameter_store.store import ParameterStore

    service = ssm_service(ParameterStore(Home.locate().aws))
    try:
        return service.operations[operation](Call(owner, _REGION, parameters))
    except AwsError as error:
        raise ConfigError(error.message) from None
