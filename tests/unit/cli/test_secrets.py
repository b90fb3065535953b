"""`pipeline secrets check`: which secrets a file uses, and where their values come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.base.errors import ConfigError
from pipeline.cli import secrets
from tests.support.command_line import pipeline
from tests.support.pipeline_yaml import GOOD

_FILE = "secrets: {{{source}}}\n" + GOOD.replace(
    "  replicas: 3", "  replicas: 3\n  secrets: [A, C]\n  environment: {{URL: '${{secret:B}}', X: '${{secret:A}}'}}"
).replace("{command: [make, test]}", "{{command: [make, test]}}").replace(
    "{path: /up, interval: 1s}", "{{path: /up}}"
).replace("{port: 8000, default_action: {forward: web}}", "{{port: 8000, default_action: {{forward: web}}}}")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("B", "hidden b")
    for name in ("A", "C"):
        monkeypatch.delenv(name, raising=False)


def write(lines: str) -> None:
    """Write a pipeline.yaml whose secrets file has these lines."""
    Path("pipeline.yaml").write_text(_FILE.format(source="file: .secrets"))
    Path(".secrets").write_text(lines)
    Path(".secrets").chmod(0o600)


def test_each_secret_has_its_lines_and_its_source() -> None:
    """In a table, without the values."""
    write("A=hidden a\nC=hidden c\nOTHER=hidden\n")
    done = CliRunner().invoke(secrets.command, ["check"])
    assert (done.exit_code, done.output) == (
        0,
        "SECRET  USED IN                             SOURCE\n"
        "A       pipeline.yaml:12, pipeline.yaml:13  file\n"
        "B       pipeline.yaml:13                    environment\n"
        "C       pipeline.yaml:12                    file\n",
    )


def test_json_has_the_same() -> None:
    """For scripts."""
    write("A=hidden a\nC=hidden c\n")
    done = CliRunner().invoke(secrets.command, ["check", "--json"])
    assert json.loads(done.output) == [
        {"name": "A", "lines": [12, 13], "origin": "file", "file": "pipeline.yaml"},
        {"name": "B", "lines": [13], "origin": "environment", "file": "pipeline.yaml"},
        {"name": "C", "lines": [12], "origin": "file", "file": "pipeline.yaml"},
    ]


def test_a_missing_value_is_an_error() -> None:
    """With exit code 2, after the whole table."""
    write("A=hidden a\n")
    done = pipeline("secrets", "check")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (2, "C       pipeline.yaml:12                    missing")
    assert done.stderr == "error: 1 secret is missing: C\nhint: export C=…\n"


def test_the_program_is_asked_once() -> None:
    """It gives the names of all values, which are printed nowhere."""
    Path("pipeline.yaml").write_text(_FILE.format(source="command: [./vault]"))
    Path("vault").write_text("#!/bin/sh\necho asked >> asked\necho A=hidden a; echo C=hidden c\n")
    Path("vault").chmod(0o700)
    done = CliRunner().invoke(secrets.command, ["check"])
    assert [line.split()[-1] for line in done.output.splitlines()[1:]] == ["command", "environment", "command"]
    assert "hidden" not in done.output
    assert Path("asked").read_text() == "asked\n"


def test_a_file_without_secrets() -> None:
    """It is said that there are none."""
    Path("pipeline.yaml").write_text(GOOD)
    assert CliRunner().invoke(secrets.command, ["check"]).output == "pipeline.yaml uses no secrets\n"


def test_another_mistake_is_reported_as_by_validate() -> None:
    """Nothing is listed for an invalid file."""
    Path("pipeline.yaml").write_text(GOOD.replace("replicas: 3", "replicas: 0"))
    done = CliRunner().invoke(secrets.command, ["check"])
    assert isinstance(done.exception, ConfigError)
    assert "deploy.replicas: must be at least 1, got 0" in done.exception.message
    assert not done.output
