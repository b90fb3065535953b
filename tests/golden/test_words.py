"""Texts that users and their tools read: the schema, the reference, every command's help, the API's description."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any
from unittest.mock import MagicMock

import pytest
from click.testing import CliRunner

from pipeline.cli.program import cli
from pipeline.http.api import ControlApi
from tests.golden.golden_file import Golden
from tests.support.paths import ROOT

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
    texts = (f"$ {f'pipeline {path}'.strip()} --help\n{found['help']}" for path, found in _commands().items())
    golden("help.txt", "\n".join(texts))


def test_every_command_takes_the_same(golden: Golden) -> None:
    """Arguments, options, their types and defaults are the golden ones, whatever their help says."""
    golden("commands.json", _as_json({path: found["takes"] for path, found in _commands().items()}))


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


def _commands() -> dict[str, dict[str, Any]]:
    """Run in a process of its own: click keeps a command's help option as its first caller in a process had it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden.command_tree"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def _output(*arguments: str) -> str:
    done = CliRunner().invoke(cli, list(arguments), prog_name="pipeline", terminal_width=_WIDTH)
    assert done.exit_code == 0, done.output
    return done.output


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
    """Return the response of the control API, without a daemon behind it."""
    app = ControlApi(MagicMock()).app()
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
