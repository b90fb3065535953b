"""The applications in examples/ that come from Compose files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.program import cli
from tests.support.paths import ROOT

SECRETS = {"django": "DB_PASSWORD, REDIS_PASSWORD, SECRET_KEY", "node": "REDIS_PASSWORD"}


@pytest.mark.parametrize("name", SECRETS)
def test_the_import_writes_the_committed_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Compose file becomes the pipeline.yaml beside it. The list names the secrets, none as an empty variable."""
    example, folder = ROOT / "examples" / name, tmp_path / "shop"
    folder.mkdir()
    shutil.copy(example / "compose.yaml", folder)
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(cli, ["import", "compose", "compose.yaml", "--output", "pipeline.yaml"])
    assert done.exit_code == 0
    assert (folder / "pipeline.yaml").read_text() == (example / "pipeline.yaml").read_text()
    assert done.stderr.splitlines()[-1] == (
        "note: secrets, which .secrets (mode 0600, NAME=value lines) or the environment must have: " + SECRETS[name]
    )
    assert "without a value" not in done.stderr
