"""The section about traffic and the access log in docs/operations.md: each of its commands finds something."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.program import cli
from pipeline.events import Event
from pipeline.store.store import Store
from tests.support.access_log import raw
from tests.support.paths import ROOT
from tests.support.pipeline_yaml import MINIMAL

SECTION = re.findall(
    r"## Traffic and the access log\n(.*?)\n## ", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL
)[0]
COMMANDS = re.findall(r"^\$ pipeline (.*)$", SECTION, re.MULTILINE)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a home with an entry and an event for each command."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(MINIMAL)
    balancer = tmp_path / "home" / "balancer"
    balancer.mkdir(parents=True)
    now = str(int(time.time()) - 2)
    lines = [
        raw(accepted_seconds=now, status="502", response="700", uri="/api/pay", method="POST"),
        raw(accepted_seconds=now, status="404", uri="/missing"),
    ]
    (balancer / "access.log").write_bytes(b"".join(lines))
    with Store(tmp_path / "home" / "penstock.db") as store:
        store.events.record(Event("target.unhealthy", "shop.web-1 failed its health check", "shop"))


def test_there_are_commands() -> None:
    """The section has all commands that it is about."""
    assert {command.split(" --")[0].split(" -n")[0] for command in COMMANDS} == {
        "balancer traffic",
        "balancer log",
        "events",
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str) -> None:
    """Each command of the section finds something."""
    done = CliRunner().invoke(cli, shlex.split(command), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.output
