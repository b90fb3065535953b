"""Texts that users and their tools read: the schema, the reference, every command's help, the API's description."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest
from click.testing import CliRunner

from pipeline.cli.main import cli
from pipeline.http.api import ControlApi
from tests.golden.golden_file import Golden

_WIDTH = 100


def test_the_schema_is_the_same(golden: Golden) -> None:
    """`pipeline schema` prints the golden JSON Schema, with every description."""
    golden("schema.json", _output("schema"))


def test_the_schema_accepts_the_same(golden: Golden) -> None:
    """Without descriptions and names of classes, which may be reworded, the JSON Schema is the golden one."""
    schema = json.loads(_output("schema"))
    golden("schema-without-words.json", _as_json(_meaning(schema, schema["$defs"]), in_order=False))


def test_the_reference_is_the_same(golden: Golden) -> None:
    """`pipeline schema --reference` prints the golden page."""
    golden("reference.md", _output("schema", "--reference"))


def test_the_help_of_every_command_is_the_same(golden: Golden) -> None:
    """`--help` of each command and each command within one prints the golden text."""
    texts = (f"$ {' '.join(('pipeline', *path, '--help'))}\n{_output(*path, '--help')}" for path, _ in _commands())
    golden("help.txt", "\n".join(texts))


def test_every_command_takes_the_same(golden: Golden) -> None:
    """Arguments, options, their types and defaults are the golden ones, whatever their help says."""
    golden("commands.json", _as_json({" ".join(path): _takes(command) for path, command in _commands()}))


def test_the_api_is_the_same(golden: Golden) -> None:
    """`GET /openapi.json` gives the golden document."""
    description = _openapi()
    description["info"]["version"] = "VERSION"
    golden("openapi.json", _as_json(description))


def test_a_golden_file_that_differs_fails(golden: Golden, request: pytest.FixtureRequest) -> None:
    """A text that differs by one character from its golden file is refused."""
    if request.config.getoption("--rewrite-golden", default=False):
        pytest.skip("the golden files are being rewritten")
    with pytest.raises(AssertionError):
        golden("schema.json", _output("schema") + " ")


def _output(*arguments: str) -> str:
    done = CliRunner().invoke(cli, list(arguments), prog_name="pipeline", terminal_width=_WIDTH)
    assert done.exit_code == 0, done.output
    return done.output


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
    """What matters to a caller; what is false or empty is left out."""
    kept = ("param_type_name", "opts", "secondary_opts", "required", "nargs", "multiple", "is_flag", "default")
    given = {key: parameter[key] for key in kept if isinstance(parameter.get(key), bool | int | str | list | tuple)}
    return {key: value for key, value in {**given, "type": parameter["type"]}.items() if value}


def _meaning(node: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema without descriptions, and without the names of the classes that it is made from."""
    if isinstance(node, list):
        return [_meaning(part, definitions) for part in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _meaning(definitions[node["$ref"].rpartition("/")[2]], definitions)
    # A property may be called `description` or `title`: then it stands for a schema.
    words = {key for key in ("description", "title", "$defs") if not isinstance(node.get(key), dict) or key == "$defs"}
    return {key: _meaning(part, definitions) for key, part in node.items() if key not in words}


def _openapi() -> dict[str, Any]:
    """What the control API answers, without a daemon behind it."""
    app = ControlApi(cast("Any", SimpleNamespace(store=None))).app()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/openapi.json", "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))
    return dict(json.loads(b"".join(message.get("body", b"") for message in sent)))


def _as_json(data: Any, *, in_order: bool = True) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, sort_keys=not in_order) + "\n"
