"""Every command of `pipeline` with its help and its parameters: a program that prints them as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click
from click.testing import CliRunner

from pipeline.cli.program import cli

_WIDTH = 100


def _commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its path, those with commands of their own before these."""

    def below(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            with click.Context(command) as context:
                for name in command.list_commands(context):
                    found = command.get_command(context, name)
                    assert found is not None
                    yield from below((*path, name), found)

    return below((), cli)


def _takes(command: click.Command) -> list[dict[str, Any]]:
    with click.Context(command) as context:
        return [_plain(parameter.to_info_dict()) for parameter in command.get_params(context)]


def _plain(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts that matter to a caller, without false and empty ones."""
    kept = ("param_type_name", "opts", "secondary_opts", "required", "nargs", "multiple", "is_flag", "default")
    given = {key: parameter[key] for key in kept if isinstance(parameter.get(key), bool | int | str | list | tuple)}
    return {key: value for key, value in {**given, "type": parameter["type"]}.items() if value}


def _help(path: tuple[str, ...]) -> str:
    return CliRunner().invoke(cli, [*path, "--help"], prog_name="pipeline", terminal_width=_WIDTH).output


if __name__ == "__main__":
    tree = {" ".join(path): {"help": _help(path), "takes": _takes(command)} for path, command in _commands()}
    print(json.dumps(tree))  # noqa: T201  # read by the test
