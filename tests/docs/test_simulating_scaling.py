"""The section about simulated scaling in docs/operations.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.program import cli
from pipeline.config.scaling_policy import read_policy
from tests.support.alb_entries import line, text
from tests.support.paths import ROOT

SECTION = re.findall(r"## Simulating scaling\n(.*?)\n## ", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL)[0]
[POLICY] = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
COMMANDS = re.findall(r"^\$ pipeline (scaling .*)$", SECTION, re.MULTILINE)


def test_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands on the page work with the policy on the page."""
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(POLICY)
    Path("access.log").write_text(text(line(float(second), 0.1) for second in range(90)))
    assert len(COMMANDS) == 2
    for command in COMMANDS:
        done = CliRunner().invoke(cli, command.split(), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert "90 requests in 2 minutes" in done.output
    assert Path("plot.svg").read_text().startswith("<svg ")


def test_the_defaults(tmp_path: Path) -> None:
    """The cooldowns on the page are the defaults, and the other keys in the table exist."""
    (tmp_path / "policy.yaml").write_text("scaling: {max: 2, target: {cpu: 5}}")
    (tmp_path / "page.yaml").write_text(POLICY)
    default, page = read_policy(tmp_path / "policy.yaml"), read_policy(tmp_path / "page.yaml")
    assert page.scale_out_cooldown == default.scale_out_cooldown
    assert page.scale_in_cooldown == default.scale_in_cooldown
    assert default.target is not None
    named = set(re.findall(r"^\| `target\.(\w+)`", SECTION, re.MULTILINE))
    assert named == set(type(default.target).model_fields)
