"""`pipeline import compose` and `pipeline import procfile`: files in, a pipeline.yaml and a list out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from pipeline.base.errors import ConfigError
from pipeline.cli.program import cli
from tests.support.compose_examples import SEVERAL, SHOP, SIMPLE


def run(*arguments: str, given: str | None = None) -> Result:
    """Run `pipeline import`."""
    return CliRunner().invoke(cli, ["import", *arguments], input=given)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder named shop with a Compose file, as the working directory."""
    found = tmp_path / "shop"
    found.mkdir()
    monkeypatch.chdir(found)
    (found / "compose.yaml").write_text(SHOP)
    return found


def test_it_prints_a_file_and_notes(folder: Path) -> None:
    """The file goes to the standard output with comments, and the list to the standard error."""
    (folder / ".env").write_text("DB_PASSWORD=hidden\nPORT=9000\n")
    done = run("compose", "compose.yaml")
    assert done.exit_code == 0
    assert done.stdout.startswith("# Imported from compose.yaml. Every key: pipeline schema --reference\nname: shop\n")
    assert "accessories:  # started before the services; no deployment replaces them" in done.stdout
    assert YAML(typ="safe").load(done.stdout)["balancer"]["load_balancers"]["edge"]["listeners"][0]["port"] == 9000
    assert "hidden" not in done.output
    assert done.stderr.splitlines()[-2:] == [
        "note: secrets, which .secrets (mode 0600, NAME=value lines) or the environment must have: DB_PASSWORD, "
        "REDIS_PASSWORD",
        "note: --secrets .secrets writes those with a value in Compose: DB_PASSWORD",
    ]


def test_secrets_that_are_written_are_not_asked_for(folder: Path) -> None:
    """With `--secrets`, the list names only the secrets that no file has."""
    (folder / ".env").write_text("DB_PASSWORD=hidden\n")
    done = run("compose", "compose.yaml", "--output", "pipeline.yaml", "--secrets", ".secrets")
    assert (folder / ".secrets").read_text() == "DB_PASSWORD='hidden'\n"
    assert done.stderr.splitlines()[-1] == (
        "note: secrets, which .secrets (mode 0600, NAME=value lines) or the environment must have: REDIS_PASSWORD"
    )


def test_it_writes_files(folder: Path) -> None:
    """`--output` writes each pipeline to a file, and `--secrets` the known secrets, readable by their owner."""
    (folder / "compose.yaml").write_text(SEVERAL + "x-a: ''\n")
    (folder / "b.yaml").write_text('services: {api: {environment: {API_TOKEN: "it\'s"}}}')
    done = run("compose", "compose.yaml", "b.yaml", "--output", "pipeline.yaml", "--secrets", ".secrets")
    assert done.exit_code == 0
    assert done.stdout == "wrote pipeline.yaml: forum\nwrote pipeline-forum-api.yaml: forum-api\n"
    assert YAML(typ="safe").load(folder / "pipeline-forum-api.yaml")["build"] == {"context": "api"}
    assert (folder / ".secrets").read_text() == "API_TOKEN='it\\'s'\n"
    assert (folder / ".secrets").stat().st_mode & 0o777 == 0o600


def test_it_overwrites_nothing(folder: Path) -> None:
    """An existing file stays, unless --force is given. Nothing else is written either."""
    (folder / "compose.yaml").write_text(SEVERAL)
    (folder / "pipeline-forum-api.yaml").write_text("mine")
    done = run("compose", "compose.yaml", "--output", "pipeline.yaml")
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == "pipeline-forum-api.yaml already exists\noverwrite it with --force"
    assert not (folder / "pipeline.yaml").exists()
    assert run("compose", "compose.yaml", "--output", "pipeline.yaml", "--force").exit_code == 0
    assert (folder / "pipeline-forum-api.yaml").read_text() != "mine"


def test_an_existing_file_is_replaced_at_once(folder: Path) -> None:
    """Its readers see the old content or the new one. A link stays a link, and the umask counts."""
    (folder / "real.yaml").write_text("mine")
    (folder / "pipeline.yaml").symlink_to("real.yaml")
    former = (folder / "real.yaml").open()
    umask = os.umask(0o027)
    done = run("compose", "compose.yaml", "--output", "pipeline.yaml", "--force")
    os.umask(umask)
    with former:
        assert former.read() == "mine"
    assert done.exit_code == 0
    assert (folder / "pipeline.yaml").is_symlink()
    assert (folder / "real.yaml").read_text().startswith("# Imported from compose.yaml")
    assert (folder / "real.yaml").stat().st_mode & 0o777 == 0o640
    assert run("compose", "compose.yaml", "--output", "/dev/null", "--force").exit_code == 0
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize(("token", "is_there"), [("a", True), ("a\\", False)])
def test_nothing_is_written_by_halves(folder: Path, token: str, is_there: bool) -> None:
    """If the secrets cannot be written, the pipeline is not written either."""
    (folder / "compose.yaml").write_text(f"services: {{web: {{build: ., environment: ['TOKEN={token}']}}}}")
    if is_there:
        (folder / ".secrets").write_text("mine")
    done = run("compose", "compose.yaml", "--output", "pipeline.yaml", "--secrets", ".secrets")
    assert isinstance(done.exception, ConfigError)
    assert done.exception.message == (
        ".secrets already exists" if is_there else "the secret TOKEN ends with a backslash"
    )
    assert not (folder / "pipeline.yaml").exists()


def test_git_says_which_files_a_commit_has(folder: Path) -> None:
    """A tracked environment file is read by each run. Another one is not, so its variables are secrets."""
    for command in (["init", "-q"], ["add", "a.env"]):
        (folder / "a.env").write_text("A=1\n")
        subprocess.run(["git", *command], cwd=folder, check=True)
    (folder / "b.env").write_text("B=hidden\n")
    done = run("compose", "-", given="services: {web: {build: ., env_file: [a.env, b.env]}}")
    deploy = YAML(typ="safe").load(done.stdout)["deploy"]
    assert deploy == {"env_file": ["a.env"], "secrets": ["B"]}


def test_another_environment_file(folder: Path) -> None:
    """`--env-file` is read instead of .env."""
    (folder / ".env.example").write_text("PORT=7000\n")
    done = run("compose", "compose.yaml", "--env-file", ".env.example")
    assert YAML(typ="safe").load(done.stdout)["balancer"]["load_balancers"]["edge"]["listeners"][0]["port"] == 7000


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["compose", "nothing.yaml"], "nothing.yaml does not exist"),
        (["compose", "."], "cannot read .: Is a directory"),
        (["compose", "latin"], "latin is not UTF-8"),
        (["compose", "compose.yaml", "--env-file", "no.env"], "no.env does not exist"),
        (["compose", "compose.yaml", "--env-file", "bad.env"], ".env:1: must have the form NAME=value"),
        (["compose", "compose.yaml", "--service", "x"], "--service x: no such service is built"),
        (["compose", "compose.yaml", "--output", "no/p.yaml"], "cannot write no/p.yaml: No such file or directory"),
        (["compose", "compose.yaml", "--output", "latin"], "latin already exists"),
        (["procfile", "nothing"], "nothing does not exist"),
        (["procfile", "compose.yaml"], None),
        (["procfile", "Procfile", "--output", "latin"], "latin already exists"),
    ],
)
def test_a_mistake_is_an_error(folder: Path, arguments: list[str], error: str | None) -> None:
    """Files that cannot be read or written, and options that do not fit, are errors."""
    (folder / "latin").write_bytes(b"\xe4")
    (folder / "bad.env").write_text("nonsense\n")
    (folder / "Procfile").write_text("web: run\n")
    done = run(*arguments)
    assert isinstance(done.exception, ConfigError)
    assert error is None or done.exception.message == error


def test_a_procfile(folder: Path) -> None:
    """A Procfile is printed or written like a Compose file."""
    (folder / "Procfile").write_text("web: run $PORT\n")
    printed = run("procfile", "Procfile")
    assert YAML(typ="safe").load(printed.stdout)["name"] == "shop"
    assert "note: the image is built from the Dockerfile" in printed.stderr
    written = run("procfile", "Procfile", "--output", "pipeline.yaml")
    assert written.stdout == "wrote pipeline.yaml: shop\n"
    assert (folder / "pipeline.yaml").read_text() == printed.stdout


def test_a_simple_file_is_valid(folder: Path) -> None:
    """`pipeline validate` accepts what was written."""
    (folder / "compose.yaml").write_text(SIMPLE)
    run("compose", "compose.yaml", "--output", "pipeline.yaml")
    done = CliRunner().invoke(cli, ["validate"])
    assert done.output == "pipeline.yaml: shop is valid\n"
