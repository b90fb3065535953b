"""`secrets` of a service: each is a variable of its name, stored by name only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.load import CommittedFile, Configuration, load
from pipeline.config.models import SecretSource
from pipeline.config.policy import Policy, Readable, SecretUse
from pipeline.config.release import ReleaseSpec
from pipeline.config.used_secret import UsedSecret
from tests.support.pipeline_yaml import GOOD, MINIMAL
from tests.unit.config.loads import Loads

_ENVIRON = {"A": "1", "B": "2"}


def with_deploy(text: str, top: str = "") -> str:
    return top + GOOD.replace("  replicas: 3", f"  replicas: 3\n{text}")


def source(content: str = "A=1\nB=2\n") -> str:
    """Return the section `secrets` with a file of this content."""
    Path(".secrets").write_text(content)
    Path(".secrets").chmod(0o600)
    return "secrets: {file: .secrets}\n"


def test_a_list_is_as_written_in_environment(loads: Loads) -> None:
    """`environment` goes before, and a secret goes before `env_file`."""
    Path(".env").write_text("A=placeholder\nC=file\n")
    text = with_deploy("  env_file: .env\n  secrets: [A, B]\n  environment: {B: plain}")
    found = loads(text, environ=_ENVIRON)
    assert found.pipeline.deploy.environment == {"A": "${secret:A}", "B": "plain", "C": "file"}
    assert found.secret_names == {"A"}


def test_all_are_the_names_in_the_source(loads: Loads) -> None:
    """Of a file and of a command. Variables of the shell are not meant."""
    file = loads(with_deploy("  secrets: all", source()), environ={"HOME": "/h"})
    Path("vault").write_text("#!/bin/sh\necho X=1; echo Y.Z=2\n")
    Path("vault").chmod(0o700)
    command = loads(with_deploy("  secrets: all", "secrets: {command: [./vault]}\n"))
    assert file.pipeline.deploy.environment == {"A": "${secret:A}", "B": "${secret:B}"}
    assert file.secrets.resolve_all(file.pipeline.deploy.environment) == {"A": "1", "B": "2"}
    assert command.secrets.resolve_all(command.pipeline.deploy.environment) == {"X": "1", "Y.Z": "2"}


def test_services_add_their_own(loads: Loads) -> None:
    """To those of `deploy`."""
    text = (
        "name: shop\ndeploy:\n  secrets: [A]\n  services:\n    web: {secrets: [B]}\n    cache: {image: 'redis:7', "
        "environment: {A: none}}\n"
    )
    services = loads(text, environ=_ENVIRON).pipeline.deploy.all_services()
    assert {name: service.environment for name, service in services.items()} == {
        "web": {"A": "${secret:A}", "B": "${secret:B}"},
        "cache": {"A": "none"},
    }


def test_a_release_has_names_and_no_values(loads: Loads) -> None:
    """It is the release of a file that writes the references out."""
    found = loads(with_deploy("  secrets: all", source("TOKEN=hidden\n")))
    same = loads(with_deploy("  environment: {TOKEN: '${secret:TOKEN}'}", source("TOKEN=hidden\n")))
    specs = [
        ReleaseSpec.of(each, image_id="sha256:1", image_tag="t", sha="a" * 40, subject="s") for each in (found, same)
    ]
    assert specs[0] == specs[1] == ReleaseSpec.parse(specs[0].model_dump_json())
    stored = json.loads(specs[0].model_dump_json())
    assert stored["services"]["web"]["environment"] == {"TOKEN": "${secret:TOKEN}"}
    assert "hidden" not in json.dumps(stored)
    assert "secrets" not in stored["services"]["web"]


def test_validation_needs_no_values(loads: Loads) -> None:
    """Neither a file nor a vault. A command is not started."""
    for top, wanted in (
        ("", "[A, B]"),
        ("secrets: {file: gone}\n", "all"),
        ("secrets: {command: ['false']}\n", "all"),
    ):
        loads(with_deploy(f"  secrets: {wanted}", top), secrets_needed=False, secrets_checked=True)


@pytest.mark.parametrize(
    ("top", "text", "error"),
    [
        (
            "",
            "  secrets: [A]",
            "11:13: deploy.secrets[0]: secret A is not in the environment (export A=…, or name a file with it in "
            "secrets.file)",
        ),
        (
            "",
            "  secrets: all",
            "11:12: deploy.secrets: all requires the section secrets, with a file or a command (add it, or list the "
            "names of the secrets)",
        ),
        ("", "  secrets: some", "11:12: deploy.secrets: must be all or a list of names"),
        ("", "  secrets: {file: a}", "11:12: deploy.secrets: must be all or a list of names"),
        (
            "",
            "  secrets: [A-B]",
            "11:13: deploy.secrets[0]: must be a variable name: letters, digits and _, no digit first, got 'A-B'",
        ),
        ("", "  secrets: [5]", '11:13: deploy.secrets[0]: must be text, got 5 (write "5")'),
        ("", "  secrets: [A, B, A]", "11:19: deploy.secrets[2]: A is listed twice"),
        (
            "",
            "  release_command: {command: [a], secrets: all}",
            "11:35: deploy.release_command.secrets: unknown key (known: command, entrypoint, env_file, environment, "
            "stop_grace, timeout)",
        ),
        (
            "secrets: {file: .secrets}\n",
            "  secrets: [C]",
            "12:13: deploy.secrets[0]: secret C is neither in the environment nor in secrets.file (export C=…, or add "
            "it to secrets.file)",
        ),
        (
            "secrets: {command: [echo, A=1]}\n",
            "  secrets: [C]",
            "12:13: deploy.secrets[0]: secret C is neither in the environment nor in secrets.command (export C=…, or "
            "add it to secrets.command)",
        ),
    ],
)
def test_each_mistake_has_its_exact_error(top: str, text: str, error: str, loads: Loads) -> None:
    """With the place of the name."""
    source()
    with pytest.raises(ConfigError) as caught:
        loads(with_deploy(text, top), environ={"PATH": "/usr/bin:/bin"})
    assert caught.value.message == f"pipeline.yaml:{error}"


def commit(
    wanted: str, served: SecretSource | None, environ: dict[str, str], allowed: set[str] | None
) -> Configuration:
    text = MINIMAL.replace("target_group: web}", f"target_group: web, secrets: {wanted}}}")
    found = CommittedFile("3f9a1c2:pipeline.yaml", f"secrets: {{file: own}}\n{text}".encode())
    readable = Readable(frozenset(), "", None if allowed is None else frozenset(allowed), "add it to secrets")
    return load(Path("pipeline.yaml"), {}, environ, committed=found, readable=readable, secrets_file=served)


def test_a_commit_gets_the_secrets_of_the_served_source(loads: Loads) -> None:
    """Not those of a source of its own. Others must be used by the served file."""
    source()
    served = SecretSource(file=".secrets")
    assert commit("all", served, {}, set()).secret_names == {"A", "B"}
    assert commit("[A, TOKEN]", served, {"TOKEN": "t"}, {"TOKEN"}).secret_names == {"A", "TOKEN"}
    with pytest.raises(ConfigError) as caught:
        commit("[TOKEN]", served, {"TOKEN": "t"}, set())
    assert caught.value.message == (
        "3f9a1c2:pipeline.yaml:3:39: deploy.secrets[0]: a commit must not use the secret TOKEN, which the served file "
        "does not use (add it to secrets)"
    )


def test_the_policy_decides_about_each_of_all(loads: Loads) -> None:
    """A commit that gets all is refused if it must not have one of them."""
    source()
    found = commit("all", SecretSource(file=".secrets"), {}, None)
    policy = Policy(secrets={"A": SecretUse()})
    assert list(policy.objections(found.pipeline, found.secret_names, "main", "hook")) == [
        "it uses the secret B, which is not in secrets"
    ]


def test_each_use_is_known_with_its_line_and_the_source_of_the_value(loads: Loads) -> None:
    """From the environment, from the file, or from nowhere. The value is not in it."""
    text = with_deploy("  secrets: [A, C]\n  environment: {URL: 'a${secret:B}${secret:B}', X: '${secret:A}'}", source())
    found = loads(text, environ={"B": "shell"}, missing_allowed=True)
    assert found.used_secrets == (
        UsedSecret("A", (12, 13), "file"),
        UsedSecret("B", (13,), "environment"),
        UsedSecret("C", (12,), "missing"),
    )
