"""Secrets that a program prints, such as that of a vault."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.load import CommittedFile, load
from pipeline.config.secrets import secrets_of_command
from tests.support.pipeline_yaml import GOOD
from tests.unit.config.loads import Loads

_USED = GOOD.replace("replicas: 3", "replicas: 3\n  environment: {URL: 'db://${secret:PASSWORD}@db'}")


def text(script: str) -> str:
    """Return a pipeline.yaml whose secrets come from a script."""
    Path("vault").write_text(f"#!/bin/sh\n{script}\n")
    Path("vault").chmod(0o700)
    return f"secrets: {{command: [./vault, read, 'a b']}}\n{_USED}"


def test_the_program_gives_the_values(loads: Loads) -> None:
    """It runs in the folder of the file with its arguments and the environment. A `$` is no reference."""
    configuration = loads(
        text("""echo "PASSWORD='$1:$2:$HOME:\\$HOME'"; echo '# vault'; echo OTHER=1"""), environ={"HOME": "/h"}
    )
    environment = configuration.pipeline.deploy.environment
    assert configuration.secrets.resolve_all(environment) == {"URL": "db://read:a b:/h:$HOME@db"}
    assert "read:a b:/h:$HOME" in configuration.secrets.values()


def test_the_environment_comes_first(loads: Loads) -> None:
    """As with a file."""
    found = loads(text("echo PASSWORD=vault"), environ={"PASSWORD": "mine"})
    assert found.secrets.resolve("${secret:PASSWORD}") == "mine"


def test_it_runs_only_if_the_values_are_needed(loads: Loads) -> None:
    """`pipeline validate` works where the vault cannot be reached."""
    Path("pipeline.yaml").write_text(text("touch ran; exit 1"))
    load(Path("pipeline.yaml"), {}, {}, secrets_needed=False, secrets_checked=True)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo PASSWORD=hidden; echo 'not signed in' >&2; exit 3", "./vault failed with exit code 3: not signed in"),
        ("echo PASSWORD=hidden; exit 3", "./vault failed with exit code 3: it wrote no error"),
        ("echo hidden", "output of ./vault:1: must have the form NAME=value"),
        (
            "printf 'A=hid\\0den\\n'",
            "the output of ./vault must not contain a null character, which no variable can hold",
        ),
        ("printf 'A=\\377\\n'", "the output of ./vault is not UTF-8"),
    ],
)
def test_a_program_that_fails(loads: Loads, script: str, message: str) -> None:
    """The place is the key. The message never has what the program printed, which may be a secret."""
    with pytest.raises(ConfigError) as raised:
        loads(text(script))
    assert f"pipeline.yaml:1:20: secrets.command: {message}" in str(raised.value)
    assert "hid" not in str(raised.value)
    assert "secret PASSWORD is" not in str(raised.value)


def test_a_missing_program(loads: Loads) -> None:
    """The message has its name."""
    with pytest.raises(ConfigError, match=r"secrets\.command: cannot run none-such: No such file"):
        loads(f"secrets: {{command: [none-such]}}\n{_USED}")


def test_a_name_that_it_does_not_print(loads: Loads) -> None:
    """The message says where to add it."""
    with pytest.raises(ConfigError) as raised:
        loads(text("echo OTHER=1"))
    assert (
        "secret PASSWORD is neither in the environment nor in secrets.command "
        "(export PASSWORD=…, or add it to secrets.command)"
    ) in str(raised.value)


def test_a_program_that_waits_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets no input, and a limit of time."""
    monkeypatch.setattr("pipeline.config.secrets.COMMAND_TIMEOUT", 0.5)
    with pytest.raises(ConfigError, match=r"sleep: it did not exit within 0\.5 s") as raised:
        secrets_of_command(["sleep", "1000"], tmp_path, os.environ)
    assert raised.value.hint == "it must not wait for input"


@pytest.mark.parametrize("section", ["{}", "{file: a, command: [b]}"])
def test_one_source(loads: Loads, section: str) -> None:
    """A file or a command, not both and not none. Nothing is run."""
    with pytest.raises(ConfigError, match="secrets: must have either file or command"):
        loads(f"secrets: {section}\n{GOOD}")


def test_a_commit_cannot_choose_the_program(loads: Loads) -> None:
    """That of the served file runs, once for each run."""
    served = loads(text("echo PASSWORD=served; echo >> runs"))
    content = f"secrets: {{command: [touch, chosen]}}\n{_USED}".encode()
    commit = CommittedFile("commit:pipeline.yaml", content)
    found = load(served.path, {}, {}, committed=commit, secrets_file=served.pipeline.secrets)
    assert found.secrets.resolve("${secret:PASSWORD}") == "served"
    assert not Path("chosen").exists()
    assert Path("runs").read_text() == "\n\n"
