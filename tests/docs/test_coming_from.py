"""The example in docs/coming-from.md is what `pipeline import compose` prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.commands import COMMANDS
from pipeline.cli.program import cli
from tests.support.compose_imports import loaded

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text()
COMPOSE, PIPELINE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Compose file on the page becomes the pipeline.yaml and the list on the page."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "compose.yaml").write_text(COMPOSE)
    done = CliRunner().invoke(cli, ["import", "compose", "compose.yaml", "--output", "pipeline.yaml"])
    assert done.exit_code == 0
    assert (folder / "pipeline.yaml").read_text() == PIPELINE
    console = PAGE.partition("--output pipeline.yaml\n")[2].partition("```")[0]
    assert sorted((done.stdout + done.stderr).splitlines()) == sorted(console.splitlines())


def test_the_result_is_valid(tmp_path: Path) -> None:
    """The pipeline.yaml on the page is valid."""
    from ruamel.yaml import YAML

    assert loaded(YAML(typ="safe").load(PIPELINE), tmp_path).pipeline.name == "shop"


def test_the_commands_exist() -> None:
    """Each command on the page is one of Penstock's."""
    named = set(re.findall(r"(?:\$ |`)pipeline ([a-z-]+)", PAGE))
    assert named
    assert named <= set(COMMANDS)
