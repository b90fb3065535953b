"""`pipeline artifacts`: listing and copying of a run's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.base.errors import ConfigError, SystemFault
from pipeline.base.home import Home
from pipeline.cli.artifacts import command
from pipeline.store.store import Store
from tests.support.pipeline_yaml import MINIMAL
from tests.support.started_runs import begin_run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a home with two runs, of which the first has two files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    Path("pipeline.yaml").write_text(MINIMAL)
    home = Home.locate()
    with Store(home.database) as store:
        begin_run(store, "shop")
        begin_run(store, "shop")
    folder = home.run_artifacts("shop", 1)
    (folder / "tmp" / "reports").mkdir(parents=True)
    (folder / "tmp" / "reports" / "junit.xml").write_text("<testsuite/>")
    (folder / "tmp" / "core").write_bytes(b"\0" * 7)
    return home


def output_of(*arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_they_are_listed() -> None:
    """The files of the latest run with artifacts are listed by their paths in the container."""
    assert [line.split() for line in output_of().splitlines()] == [
        ["RUN", "BYTES", "PATH"],
        ["1", "7", "tmp/core"],
        ["1", "12", "tmp/reports/junit.xml"],
    ]
    url = "/v1/pipelines/shop/runs/1/artifacts/tmp/core"
    assert json.loads(output_of("1", "--json"))[0] == {"run": 1, "path": "tmp/core", "size": 7, "url": url}


def test_they_are_copied(tmp_path: Path) -> None:
    """`--copy-to` creates the folder, and a second copy overwrites the first."""
    target = tmp_path / "a" / "b"
    for _ in range(2):
        assert output_of("1", "--copy-to", str(target)) == f"copied 2 files of run 1 to {target}\n"
    assert (target / "tmp" / "reports" / "junit.xml").read_text() == "<testsuite/>"
    assert (target / "tmp" / "core").read_bytes() == b"\0" * 7


@pytest.mark.parametrize(("arguments", "reason"), [(("3",), "there is no run 3"), (("2",), "run 2 has no artifacts")])
def test_there_may_be_none(arguments: tuple[str, ...], reason: str) -> None:
    """An unknown run and a run without artifacts are errors."""
    with pytest.raises(ConfigError, match=reason):
        output_of(*arguments)


def test_where_nothing_can_be_copied_to(tmp_path: Path) -> None:
    """A failed copy is reported with its reason."""
    (tmp_path / "file").touch()
    with pytest.raises(SystemFault, match="cannot copy to"):
        output_of("1", "--copy-to", str(tmp_path / "file"))


def test_a_hostile_name_cannot_forge_a_line(home: Home) -> None:
    """Control characters are escaped in the table, and kept in the JSON."""
    (home.run_artifacts("shop", 1) / "a\n1  0  passed\x1b[2J").touch()
    (home.run_artifacts("shop", 1) / "\udcff").touch()
    assert len(output_of("1").splitlines()) == 5
    assert "a\\n1  0  passed\\x1b[2J" in output_of("1")
    assert "a\n1  0  passed\x1b[2J" in [each["path"] for each in json.loads(output_of("1", "--json"))]
