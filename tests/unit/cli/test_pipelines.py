"""`pipeline list`, and `-p NAME` of the other commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.cli import pipelines, releases, scale, status, validate
from pipeline.store.records import DeploymentState
from pipeline.store.store import Store
from tests.support.pipeline_yaml import MINIMAL
from tests.support.started_runs import begin_run


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a pipeline of the home. The current directory is another one."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    file = tmp_path / "pipeline.yaml"
    file.write_text(MINIMAL)
    with Store(Home.locate().database) as store:
        store.pipelines.set_file("shop", file)
    return file


def test_all_pipelines_are_listed(file: Path) -> None:
    """A pipeline that has not run is listed with its file."""
    done = CliRunner().invoke(pipelines.command, [], catch_exceptions=False)
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["PIPELINE", "RELEASE", "REPLICAS", "RUN", "STATE", "JOBS", "FILE"],
        ["shop", "-", "-", "-", "-", "-", str(file)],
    ]
    done = CliRunner().invoke(pipelines.command, ["--json"], catch_exceptions=False)
    none = dict.fromkeys(("release", "replicas", "run", "state"))
    assert json.loads(done.stdout) == [{"pipeline": "shop", **none, "jobs": {}, "file": str(file)}]


def activate(spec: str, **wanted: int) -> None:
    """Make a release with this spec and these replicas the active one."""
    with Store(Home.locate().database) as store:
        run = begin_run(store, "shop").number
        made = store.releases.create("shop", run, sha="a" * 40, subject="", image_id="1", image_tag="1", spec=spec)
        row = store.deployments.begin("shop", run, None, made.number)
        store.deployments.finish(row, DeploymentState.SUCCEEDED, wanted=wanted)


def test_the_replicas_of_all_services_are_counted(file: Path) -> None:
    """Those of services that the active release does not have are not."""
    activate('{"services": {"web": {}, "worker": {}}}', web=2, worker=3, former=7)
    done = CliRunner().invoke(pipelines.command, ["--json"], catch_exceptions=False)
    assert json.loads(done.stdout)[0]["replicas"] == 5


def test_a_number_needs_its_service(file: Path) -> None:
    """If the active release has several."""
    activate('{"services": {"web": {}, "worker": {}}}', web=2, worker=3)
    with pytest.raises(ConfigError, match="shop has several services: web, worker") as caught:
        CliRunner().invoke(scale.command, ["5", "-p", "shop"], catch_exceptions=False)
    assert caught.value.hint == "name one: web=5"


@pytest.mark.parametrize("command", [releases.command, status.command, validate.command])
def test_a_command_from_another_directory(file: Path, command: object) -> None:
    """`-p NAME` finds the pipeline's file."""
    done = CliRunner().invoke(command, ["-p", "shop"], catch_exceptions=False)  # type: ignore[arg-type]
    assert done.exit_code == 0


def test_a_name_that_is_not_there(file: Path) -> None:
    """An unknown name has a suggestion."""
    with pytest.raises(ConfigError, match="-p shpo: this home has no pipeline of this name") as caught:
        CliRunner().invoke(releases.command, ["-p", "shpo"], catch_exceptions=False)
    assert caught.value.hint == "a parameter has the form NAME=VALUE; did you mean shop?"


def test_a_name_and_a_file(file: Path) -> None:
    """A name and a file are refused together, since they may differ."""
    with pytest.raises(ConfigError, match=r"-p shop and the file other.yaml exclude each other"):
        CliRunner().invoke(releases.command, ["-p", "shop", "-f", "other.yaml"], catch_exceptions=False)


def test_a_file_that_is_gone(file: Path) -> None:
    """The error of a pipeline without its file has the file's former place."""
    file.unlink()
    with pytest.raises(ConfigError, match=f"-p shop: its file {file} is gone"):
        CliRunner().invoke(releases.command, ["-p", "shop"], catch_exceptions=False)
