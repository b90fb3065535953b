"""`pipeline aws`: the access keys of the AWS APIs, and the parameters of SSM."""

from __future__ import annotations

import json

import click

from pipeline.aws.keys import DEFAULT_OWNER, AccessKey, AccessKeys
from pipeline.base.home import Home
from pipeline.cli import aws_parameters
from pipeline.cli.output import date, table
from pipeline.cli.session import json_option


@click.group("aws")
def command() -> None:
    """Manage the access keys and the parameters of the AWS APIs of `pipeline serve --aws`."""


command.add_command(aws_parameters.command)


@command.group("keys")
def keys() -> None:
    """Manage the access keys with which AWS clients sign their requests."""


@keys.command("create")
@click.option("--owner", default=DEFAULT_OWNER, show_default=True, help="Owner of what is made with the key.")
@json_option
def create(owner: str, as_json: bool) -> None:
    """Create an access key and print it with its secret.

    The owner may be a pipeline. The key then also sees what its pipeline.yaml declares.
    """
    key = _keys().create(owner)
    if as_json:
        click.echo(json.dumps({**_data(key), "secret": key.secret}))
        return
    click.echo(f"export AWS_ACCESS_KEY_ID={key.id}")
    click.echo(f"export AWS_SECRET_ACCESS_KEY={key.secret}")


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """List the access keys, without their secrets."""
    found = _keys().all()
    if as_json:
        click.echo(json.dumps([_data(key) for key in found]))
    elif found:
        table([(key.id, key.owner, date(key.created)) for key in found], "key", "owner", "created")
    else:
        click.echo("there are no access keys")


@keys.command("delete")
@click.argument("key")
def delete(key: str) -> None:
    """Delete an access key. Its requests are refused from now on. What was made with it stays."""
    _keys().delete(key)
    click.echo(f"deleted {key}")


def _keys() -> AccessKeys:
    return AccessKeys(Home.locate().aws)


def _data(key: AccessKey) -> dict[str, str]:
    return {"id": key.id, "owner": key.owner, "created": key.created.isoformat()}
