"""`pipeline doctor` as a user runs it. Its checks have tests of their own in `tests/unit/doctor`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import doctor
from pipeline.doctor import all_checks
from pipeline.doctor.check import Check
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.finding import Finding
from tests.support.pipeline_yaml import MINIMAL

OK, WARNING = Finding.ok("git", "2.39.5"), Finding.warning("BuildKit", "none", "install it")
FAILED = Finding.failed("Docker", "it does not run", "systemctl start docker")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))


def examine(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, findings: Sequence[Finding] = (OK,)
) -> tuple[Result, list[DoctorContext]]:
    """Run the command with checks that find this, and return what they examine."""
    examined = []

    def subject(context: DoctorContext) -> Iterator[Check]:
        examined.append(context)
        yield Check("all", lambda: findings)

    monkeypatch.setattr(all_checks, "SUBJECTS", (subject,))
    return CliRunner().invoke(doctor.command, arguments), examined


def test_each_finding_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to type is below it. A warning is no failure. The home is not made."""
    result, examined = examine(monkeypatch, findings=(OK, WARNING))
    assert result.output.splitlines() == [
        "ok       git       2.39.5",
        "warning  BuildKit  none",
        "                   install it",
    ]
    assert result.exit_code == 0
    assert examined[0].configuration is None
    assert not Path("home").exists()


def test_a_failure_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON has the same findings."""
    result, _ = examine(monkeypatch, "--json", findings=(WARNING, FAILED))
    assert result.exit_code == 1
    assert json.loads(result.output) == [
        {"check": "BuildKit", "status": "warning", "message": "none", "hint": "install it"},
        {"check": "Docker", "status": "failed", "message": "it does not run", "hint": "systemctl start docker"},
    ]


def test_the_file_is_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of secrets are not needed."""
    Path("pipeline.yaml").write_text(MINIMAL)
    _, examined = examine(monkeypatch)
    assert examined[0].configuration is not None
    assert examined[0].configuration.pipeline.name == "shop"


def test_a_file_with_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has failed, and the machine is checked all the same."""
    Path("pipeline.yaml").write_text("name: shop\ndeploy: {target_group: web, replica: 2}\n")
    result, examined = examine(monkeypatch)
    assert result.exit_code == 1
    assert result.output.splitlines()[0].startswith("failed   pipeline.yaml  pipeline.yaml:2:")
    assert result.output.splitlines()[1].strip() == "pipeline validate pipeline.yaml"
    assert examined[0].configuration is None


def test_a_file_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is named must exist."""
    result, _ = examine(monkeypatch, "--file", "other.yaml")
    assert result.exit_code == 1
    assert result.output.splitlines()[:2] == [
        "failed   other.yaml  other.yaml does not exist",
        "                     create one with `pipeline init`",
    ]
