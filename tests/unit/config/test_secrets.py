"""Secrets come from the environment or a private file, and are never stored or shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.base.errors import ConfigError
from pipeline.cli.validate import command
from pipeline.config.secrets import read_secrets
from tests.support.pipeline_yaml import GOOD
from tests.unit.config.loads import Loads

TEXT = "secrets: {file: .secrets}\n" + GOOD.replace(
    "replicas: 3", "replicas: 3\n  environment: {URL: 'db://app:${secret:PASSWORD}@db'}"
)


def keep(text: str, mode: int = 0o600) -> None:
    Path(".secrets").write_text(text)
    Path(".secrets").chmod(mode)


def test_a_secret_is_resolved_on_use(loads: Loads) -> None:
    """The configuration contains a secret's name only, and `resolve_all` adds the value."""
    Path(".secrets").touch()
    keep("# the database\nexport PASSWORD = 'hunter two'\nOTHER=x\n")
    configuration = loads(TEXT)
    environment = configuration.pipeline.deploy.environment
    assert environment == {"URL": "db://app:${secret:PASSWORD}@db"}
    assert configuration.secrets.resolve_all(environment) == {"URL": "db://app:hunter two@db"}
    assert configuration.secrets.values() == ("hunter two",)
    assert "hunter" not in repr(configuration)


FORGED = "${secret:PASSWORD}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$${secret:PASSWORD}", FORGED),
        ("$$${secret:PASSWORD}", f"${FORGED}"),
        ("${given}", FORGED),
        ("a ${given}${given} b", f"a {FORGED}{FORGED} b"),
        ("${start}ret:PASSWORD}", FORGED),
        ("${env:FORGED}", FORGED),
        ("${env:NONE:-$}{secret:PASSWORD}", FORGED),
        ("$${{}secret:PASSWORD}", "${{}secret:PASSWORD}"),
        ("$${$${}", "${${}"),
        ("${given} or ${secret:PASSWORD}", f"{FORGED} or hunter two"),
        ("$${${secret:PASSWORD}", "${hunter two"),
        ("${dollar}${secret:PASSWORD}", "$hunter two"),
    ],
)
def test_only_the_references_of_the_file_are_resolved(loads: Loads, value: str, expected: str) -> None:
    """A literal, a parameter and a variable that look like a reference stay as they are."""
    declared = "parameters: {given: {default: x}, start: {default: x}, dollar: {default: $}}\n"
    text = GOOD.replace("replicas: 3", f"replicas: 3\n  environment: {{A: {json.dumps(value)}}}")
    configuration = loads(
        declared + text,
        {"given": FORGED, "start": "${sec"},
        environ={"PASSWORD": "hunter two", "FORGED": FORGED},
    )
    environment = configuration.pipeline.deploy.environment
    assert configuration.secrets.resolve_all(environment) == {"A": expected}
    stored = json.loads(json.dumps(environment))
    assert configuration.secrets.resolve_all(stored) == {"A": expected}


def test_a_missing_secret_fails_on_use(loads: Loads) -> None:
    """Without `secrets_needed`, a missing secret is an error only when it is resolved."""
    configuration = loads(TEXT, secrets_needed=False)
    with pytest.raises(ConfigError, match="secret PASSWORD is neither in the environment nor in the secrets file"):
        configuration.secrets.resolve_all(configuration.pipeline.deploy.environment)


def test_the_environment_wins_over_the_file(loads: Loads) -> None:
    """The environment takes precedence over the secrets file."""
    keep("PASSWORD=from-file\n")
    assert loads(TEXT, environ={"PASSWORD": "from-env"}).secrets.values() == ("from-env",)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o700])
def test_a_file_that_others_could_read_is_refused(mode: int, loads: Loads) -> None:
    """A secrets file with another mode than 0600 is an error, with the command that repairs it."""
    keep("PASSWORD=x\n", mode)
    with pytest.raises(ConfigError) as caught:
        loads(TEXT)
    path = Path(".secrets").absolute()
    assert caught.value.message == (
        f"pipeline.yaml:1:17: secrets.file: secrets file {path} must have mode 0600, got {mode:04o} (chmod 600 {path})"
    )


def test_an_invalid_line_is_not_shown(tmp_path: Path) -> None:
    """The error of an invalid line does not show the line, which may contain a secret."""
    file = tmp_path / "secrets"
    file.write_text("A=1\nhunter two\n")
    file.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        read_secrets(file)
    assert caught.value.message == f"{file}:2: must have the form NAME=value"


def test_a_missing_secret(loads: Loads) -> None:
    """The error of a missing secret names the environment and secrets.file."""
    keep("OTHER=x\n")
    with pytest.raises(ConfigError) as caught:
        loads(TEXT)
    assert caught.value.message == (
        "pipeline.yaml:12:22: deploy.environment.URL: secret PASSWORD is neither in the environment nor in "
        "secrets.file (export PASSWORD=…, or add it to secrets.file)"
    )


def test_a_missing_secret_without_a_file(loads: Loads) -> None:
    """The hint names both places that a value may come from."""
    with pytest.raises(ConfigError) as caught:
        loads(TEXT.replace("secrets: {file: .secrets}\n", ""))
    assert caught.value.message == (
        "pipeline.yaml:11:22: deploy.environment.URL: secret PASSWORD is not in the environment "
        "(export PASSWORD=…, or name a file with it in secrets.file)"
    )


def test_a_value_of_the_file_may_contain_variables(loads: Loads) -> None:
    """As in Compose's environment files."""
    keep('USER=app\nPASSWORD="${USER}:${TOKEN}" # of the database\n')
    assert loads(TEXT, environ={"TOKEN": "t"}).secrets.values() == ("app:t",)


def validated(*arguments: str) -> Result:
    Path("pipeline.yaml").write_text(TEXT)
    return CliRunner().invoke(command, arguments)


def test_validate_needs_no_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is valid on a machine that has neither the secrets nor their file, such as in CI."""
    monkeypatch.chdir(tmp_path)
    assert validated().output == "pipeline.yaml: shop is valid\n"
    keep("OTHER=x\n")
    assert validated().output == "pipeline.yaml: shop is valid\n"


@pytest.mark.parametrize(
    ("text", "mode", "reason"), [("hunter two\n", 0o600, ":1: must have"), ("", 0o644, "mode 0600")]
)
def test_validate_checks_the_secrets_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, reason: str
) -> None:
    """A secrets file that is there must be valid."""
    monkeypatch.chdir(tmp_path)
    keep(text, mode)
    done = validated()
    assert isinstance(done.exception, ConfigError)
    assert reason in str(done.exception)
