"""`env_file` has Compose's forms, and its variables join those of `environment`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.base.files import file_stamp
from pipeline.config.load import CommittedFile, Configuration, load
from pipeline.config.policy import Readable
from pipeline.config.release import ReleaseSpec
from tests.support.pipeline_yaml import GOOD, MINIMAL
from tests.unit.config.loads import Loads

SERVICES = """\
name: shop
deploy:
  env_file: common.env
  environment: {B: deploy}
  release_command: {command: [migrate], env_file: migrate.env, environment: {A: own}}
  services:
    web:
      env_file: [web.env]
      environment: {C: web}
    worker: {command: [work]}
build:
  test:
    command: [make, test]
    env_file: [test.env]
    services: {db: {image: "postgres:16", env_file: test.env}}
"""


def with_deploy(text: str) -> str:
    return GOOD.replace("  replicas: 3", f"  replicas: 3\n{text}")


@pytest.mark.parametrize(
    ("form", "environment"),
    [
        ("one.env", {"A": "1", "B": "1"}),
        ("[one.env]", {"A": "1", "B": "1"}),
        ("[one.env, two.env]", {"A": "1", "B": "2", "C": "2"}),
        ("[two.env, one.env]", {"A": "1", "B": "1", "C": "2"}),
        ("[{path: one.env}, {path: gone.env, required: false}]", {"A": "1", "B": "1"}),
        ("[one.env, {path: ./deploy/../two.env, required: true}]", {"A": "1", "B": "2", "C": "2"}),
        ("[]", {}),
    ],
)
def test_a_text_a_list_and_mappings_name_files(form: str, environment: dict[str, str], loads: Loads) -> None:
    """A later file replaces a variable of an earlier one. Only a required file must exist."""
    Path("one.env").write_text("A=1\nB=1\n")
    Path("two.env").write_text("B=2\nC=2\n")
    Path("deploy").mkdir()
    assert loads(with_deploy(f"  env_file: {form}")).pipeline.deploy.environment == environment


def test_environment_replaces_a_variable_of_a_file(loads: Loads) -> None:
    """What a service sets counts before what `deploy` sets, whether in a file or not."""
    Path("common.env").write_text("A=common\nB=common\nC=common\nD=common\n")
    Path("web.env").write_text("B=file of web\nC=file of web\n")
    Path("migrate.env").write_text("A=migrate\nE=migrate\n")
    Path("test.env").write_text("T=test\n")
    pipeline = loads(SERVICES).pipeline
    found = {name: service.environment for name, service in pipeline.deploy.all_services().items()}
    assert found == {
        "web": {"A": "common", "B": "file of web", "C": "web", "D": "common"},
        "worker": {"A": "common", "B": "deploy", "C": "common", "D": "common"},
    }
    assert pipeline.deploy.release_command is not None
    assert pipeline.deploy.release_command.environment == {"A": "own", "E": "migrate"}
    assert pipeline.build.test is not None
    assert pipeline.build.test.environment == pipeline.build.test.services["db"].environment == {"T": "test"}


def test_a_file_has_the_lines_of_compose(loads: Loads) -> None:
    """With a byte order mark, line ends of Windows, quotes, comments, names without a value, and references."""
    Path(".env").write_bytes(
        b"\xef\xbb\xbfA=one # comment\r\nexport B='$A'\r\nC=\"x\ny\"\r\nD=${A}-$HOME\r\nHOME\r\nGONE\r\nE: yaml\r\n"
    )
    found = loads(with_deploy("  env_file: .env"), environ={"HOME": "/h"}).pipeline.deploy.environment
    assert found == {"A": "one", "B": "$A", "C": "x\ny", "D": "one-/h", "HOME": "/h", "E": "yaml"}


def test_a_file_has_no_secrets_and_no_parameters(loads: Loads) -> None:
    """Text that looks like a reference stays text."""
    Path(".env").write_text("A='${secret:TOKEN}'\nB='${env:HOME}'\nC='${replicas}'\n")
    configuration = loads(with_deploy("  env_file: .env"))
    resolved = configuration.secrets.resolve_all(configuration.pipeline.deploy.environment)
    assert resolved == {"A": "${secret:TOKEN}", "B": "${env:HOME}", "C": "${replicas}"}
    assert configuration.used_secrets == ()


def test_a_release_has_the_variables_and_not_the_file(loads: Loads) -> None:
    """A release can be deployed again after its file has changed, and stays the same release until then."""

    def spec(configuration: Configuration) -> ReleaseSpec:
        return ReleaseSpec.of(configuration, image_id="sha256:1", image_tag="t", sha="a" * 40, subject="s")

    plain = spec(loads(with_deploy("  environment: {A: '1'}")))
    Path(".env").write_text("A=1\n")
    found = spec(loads(with_deploy("  env_file: .env")))
    assert found == plain == ReleaseSpec.parse(found.model_dump_json())
    assert "env_file" not in found.model_dump_json()


_KEPT = "values that stay out of the repository belong in secrets.file, with `secrets: all`"
_FORM = "must be the path of a file relative to this one, such as .env or deploy/web.env"


@pytest.mark.parametrize(
    ("form", "content", "error"),
    [
        ("gone.env", None, "13: deploy.env_file: gone.env is missing in {cwd} (create it; " + _KEPT + ")"),
        ("[gone.env]", None, "14: deploy.env_file[0]: gone.env is missing in {cwd} (create it; " + _KEPT + ")"),
        ("[{path: gone.env}]", None, "14: deploy.env_file[0]: gone.env is missing in {cwd} (create it; " + _KEPT + ")"),
        ("/etc/env", None, f"13: deploy.env_file: {_FORM}"),
        ("['']", None, f"14: deploy.env_file[0]: {_FORM}"),
        ("[deploy/]", None, f"14: deploy.env_file[0]: {_FORM}"),
        ("[{required: false}]", None, "14: deploy.env_file[0].path: is missing (Path, relative to this file)"),
        ("[{path: a, requird: no}]", None, "24: deploy.env_file[0].requird: unknown key (did you mean required?)"),
        ("[{path: a, required: maybe}]", None, "34: deploy.env_file[0].required: must be true or false, got 'maybe'"),
        ("5", None, "13: deploy.env_file: must be a list, got 5"),
        ("[5]", None, '14: deploy.env_file[0]: must be text, got 5 (write "5")'),
        ("{path: a.env}", None, "13: deploy.env_file: must be a list, got a mapping (write [{path: a.env}])"),
        (".", None, "13: deploy.env_file: . must be a regular file"),
        (".env", "A=1\nB 2\n", "13: deploy.env_file: .env:2: must have the form NAME=value"),
        (".env", "A='1\n", "13: deploy.env_file: .env:1: the value has no closing '"),
        (
            "[.env]",
            "\n\nA='1' 2\n",
            "14: deploy.env_file[0]: .env:3: must have nothing but a comment after the closing '",
        ),
        (
            ".env",
            "A=$GONE\n",
            "13: deploy.env_file: .env:1: a variable in the value is not set; write $$ or single quotes for a literal "
            "$",
        ),
        (".env", "A=${B:?is needed}\n", "13: deploy.env_file: .env:1: B is not set: is needed"),
        (
            ".env",
            "A=${secret:B}\n",
            "13: deploy.env_file: .env:1: ${NAME} must continue with :-, :? or :+, or end; write $$ for a $",
        ),
        (".env", "A=\0\n", "13: deploy.env_file: .env must not contain a null character, which no variable can hold"),
        (".env", b"A=1\nB=\xff\n", "13: deploy.env_file: .env:2: is not UTF-8 (save the file as UTF-8)"),
        (".env", "A" * (2**20 + 1), "13: deploy.env_file: .env must be at most 1 MiB"),
    ],
)
def test_each_mistake_has_its_exact_error(form: str, content: str | bytes | None, error: str, loads: Loads) -> None:
    """With the place of the key, and the line in the file."""
    if content is not None:
        Path(".env").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        loads(with_deploy(f"  env_file: {form}"))
    assert caught.value.message == f"pipeline.yaml:11:{error}".replace("{cwd}", str(Path.cwd()))


def commit(text: str, files: dict[str, bytes], environ: dict[str, str], *names: str) -> Configuration:
    """Load a commit's pipeline.yaml that may read the named environment variables."""
    found = CommittedFile("3f9a1c2:pipeline.yaml", text.encode(), files.get)
    readable = Readable(frozenset(names), "add it to environment in shop.yaml", frozenset(), "add it to secrets")
    return load(Path("pipeline.yaml"), {}, environ, committed=found, readable=readable)


def test_a_commit_has_its_own_files(loads: Loads) -> None:
    """A file of the directory is not read for a commit."""
    Path(".env").write_text("A=directory\n")
    text = MINIMAL.replace("target_group: web}", "target_group: web, env_file: .env}")
    found = commit(text, {".env": b"A=commit $REGION\n"}, {"REGION": "eu"}, "REGION")
    assert found.pipeline.deploy.environment == {"A": "commit eu"}
    assert not found.env_files
    with pytest.raises(ConfigError) as caught:
        commit(text, {}, {})
    assert caught.value.message == (
        "3f9a1c2:pipeline.yaml:2:39: deploy.env_file: .env is missing in commit 3f9a1c2 (commit it; values that stay "
        "out of the repository belong in secrets.file, with `secrets: all`)"
    )


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (
            b"A=$TOKEN\n",
            ".env:1: a variable in the value is not set; write $$ or single quotes for a literal $ (add it to "
            "environment in shop.yaml)",
        ),
        (
            b"TOKEN\n",
            "a commit must not read the environment variable TOKEN (add it to environment in shop.yaml)",
        ),
    ],
)
def test_a_commit_reads_no_variable_that_the_owner_has_not_chosen(content: bytes, error: str, loads: Loads) -> None:
    """Neither in a value nor as a name without a value."""
    text = MINIMAL.replace("target_group: web}", "target_group: web, env_file: .env}")
    with pytest.raises(ConfigError) as caught:
        commit(text, {".env": content}, {"TOKEN": "hidden"})
    assert caught.value.message == f"3f9a1c2:pipeline.yaml:2:39: deploy.env_file: {error}"


def test_a_default_takes_the_place_of_a_variable_that_a_commit_must_not_read(loads: Loads) -> None:
    """The value of the variable has no effect."""
    text = MINIMAL.replace("target_group: web}", "target_group: web, env_file: .env}")
    found = commit(text, {".env": b"A=${TOKEN:-none}${TOKEN:+set}\n"}, {"TOKEN": "hidden"})
    assert found.pipeline.deploy.environment == {"A": "none"}


def test_variables_of_the_served_file_include_those_of_its_files(loads: Loads) -> None:
    """A commit may read them too, as if pipeline.yaml named them."""
    Path(".env").write_text("A=$REGION\n")
    assert "REGION" in loads(with_deploy("  env_file: .env"), environ={"REGION": "eu"}).variables


def test_it_is_known_when_a_file_changes(loads: Loads) -> None:
    """The stamp of each file is that of its content, None for a file that is missing."""
    Path(".env").write_text("A=1\n")
    found = loads(with_deploy("  env_file: [.env, {path: gone.env, required: false}]")).env_files
    stamp = file_stamp(Path(".env"))
    assert stamp is not None
    assert found == {Path.cwd() / ".env": stamp, Path.cwd() / "gone.env": None}
