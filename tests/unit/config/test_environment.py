"""Environments, volumes and sizes mean what they mean in a Compose file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.policy import Readable
from tests.support.pipeline_yaml import GOOD
from tests.unit.config.loads import Loads


def with_deploy(text: str) -> str:
    return GOOD.replace("  replicas: 3", f"  replicas: 3\n{text}")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", "true"),
        ("True", "true"),
        ("false", "false"),
        ("yes", "yes"),
        ('"true"', "true"),
        ("4", "4"),
        ("-4", "-4"),
        ("0", "0"),
        ("0x1F", "31"),
        ("1.5", "1.5"),
        ("1.0", "1"),
        ("1.10", "1.1"),
        ('"1.10"', "1.10"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("1e6", "1e+06"),
        ("123456.5", "123456.5"),
        ("1234567.5", "1.2345675e+06"),
        ('""', ""),
        ("'null'", "null"),
        ("'01234'", "01234"),
    ],
)
def test_a_scalar_becomes_the_text_that_compose_makes_of_it(written: str, value: str, loads: Loads) -> None:
    """In environments and build arguments."""
    text = with_deploy(f"  environment: {{A: {written}}}").replace("build:\n", f"build:\n  args: {{A: {written}}}\n")
    pipeline = loads(text).pipeline
    assert pipeline.deploy.environment == {"A": value}
    assert pipeline.build.args == {"A": value}


@pytest.mark.parametrize("form", ["{A: , B: null, C: '', D: ~}", "[A, B, C=, D]"])
def test_a_name_without_a_value_takes_that_of_the_shell(form: str, loads: Loads) -> None:
    """One that is not set there is left out."""
    text = with_deploy(f"  environment: {form}")
    environ = {"A": "from the shell", "C": "not taken", "D": ""}
    assert loads(text, environ=environ).pipeline.deploy.environment == {"A": "from the shell", "C": "", "D": ""}


def test_a_list(loads: Loads) -> None:
    """A list of NAME=value is a mapping, also with references."""
    text = with_deploy("  environment: [A=1, 'B=x=y z', 'C=${env:SHELL}', 'D=${secret:TOKEN}', A=2]")
    environment = loads(text, environ={"SHELL": "sh", "TOKEN": "t"}).pipeline.deploy.environment
    assert environment == {"A": "2", "B": "x=y z", "C": "sh", "D": "${secret:TOKEN}"}


@pytest.mark.parametrize("name", ["spring.datasource.url", "my-name", "1ST", "ünï", "a/b", "A[0]"])
def test_a_name(name: str, loads: Loads) -> None:
    """A name may have any character but = and spaces, as for Docker."""
    assert loads(with_deploy(f"  environment: {{'{name}': x}}")).pipeline.deploy.environment == {name: "x"}


@pytest.mark.parametrize(
    "volume",
    [
        "data:/data",
        "data:/data:z",
        "data:/data:ro",
        "/srv/data:/data:ro,Z",
        "/srv/data:/data:Z,rw",
        "/srv/data:/data:rw,rshared,z,cached",
        "data:/data:nocopy,ro",
    ],
)
def test_a_volume(volume: str, loads: Loads) -> None:
    """It has the modes that Docker knows, in any order."""
    assert loads(with_deploy(f"  volumes: ['{volume}']")).pipeline.deploy.volumes == (volume,)


@pytest.mark.parametrize("memory", ["512M", "512m", "512mb", "512MB", "512MiB", "536870912", "0.5g", "524288k"])
def test_a_memory_limit(memory: str, loads: Loads) -> None:
    """All of them are half a gigabyte."""
    assert loads(with_deploy(f"  memory: {memory}")).pipeline.deploy.memory == 2**29


def test_the_environments_of_services_and_tests(loads: Loads, tmp_path: Path) -> None:
    """Every environment takes every form."""
    test: Any = (
        "build:\n  test:\n    command: [make]\n    environment: [A]\n    services:\n"
        "      db: {image: postgres, environment: {A: null, B: 1}}\n"
    )
    text = (
        "name: shop\n"
        + test
        + GOOD[GOOD.index("deploy:") :].replace(
            "  replicas: 3", "  replicas: 3\n  release_command: {command: [./migrate], environment: {A: , B: true}}"
        )
    )
    pipeline = loads(text.replace("replicas: ${replicas}", "replicas: 1"), environ={"A": "a"}).pipeline
    assert pipeline.build.test is not None
    assert pipeline.build.test.environment == {"A": "a"}
    assert pipeline.build.test.services["db"].environment == {"A": "a", "B": "1"}
    assert pipeline.deploy.release_command is not None
    assert pipeline.deploy.release_command.environment == {"A": "a", "B": "true"}


@pytest.mark.parametrize("form", ["{TOKEN: }", "[TOKEN]"])
def test_a_commit_takes_only_the_variables_that_it_may_read(form: str, loads: Loads) -> None:
    """A name without a value reads the environment of the daemon, as `${env:TOKEN}` does."""
    text = with_deploy(f"  environment: {form}")
    with pytest.raises(ConfigError, match="a commit must not read the environment variable TOKEN"):
        loads(text, environ={"TOKEN": "t"}, readable=Readable(frozenset({"OTHER"}), "ask"))
    read = loads(text, environ={"TOKEN": "t"}, readable=Readable(frozenset({"TOKEN"}), "ask"))
    assert read.pipeline.deploy.environment == {"TOKEN": "t"}
    assert loads(text, environ={}).variables == {"TOKEN"}


def test_a_value_of_the_shell_is_no_reference(loads: Loads) -> None:
    """What looks like a secret in it stays text."""
    configuration = loads(with_deploy("  environment: [A]"), environ={"A": "${secret:B}", "B": "hidden"})
    assert configuration.secrets.resolve_all(configuration.pipeline.deploy.environment) == {"A": "${secret:B}"}
