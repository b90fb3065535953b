"""The example of a reporter: it installs like any package, and reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError
from pipeline.config.load import load
from tests.support.examples import install_example
from tests.support.paths import ROOT
from tests.support.pipeline_yaml import MINIMAL

# Runs in a process of its own, so that the installed package stays out of this one.
_REPORT = """
import sys
from pathlib import Path
from pipeline.base.errors import ConfigError
from pipeline.config.load import load
from pipeline.event_kinds import EventKind
from pipeline.events import Event
from pipeline.reporters import Report
from pipeline.store.queue import RunRequest
from pipeline.store.records import RunState, Trigger
from pipeline.store.store import Store

reporter = load(Path("pipeline.yaml")).pipeline.reporters["results"]
with Store(Path("penstock.db")) as store:
    number = store.queue.begin("shop", RunRequest(Trigger.COMMAND), "superseded").number
    store.runs.finish("shop", number, RunState.SUCCEEDED)
    run = store.runs.get("shop", number)
for kind, fields in ((EventKind.RUN_STARTED, {}), (EventKind.RUN_FINISHED, {"state": "succeeded"})):
    reporter.report(Report(Event(kind, "run 1", "shop", 1, fields), run), str)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed with pip into a folder."""
    return install_example("file_reporter", tmp_path_factory.mktemp("installed"))


def python(folder: Path, directory: Path, program: str) -> None:
    environment = {"PYTHONPATH": f"{folder}:{ROOT}", "PATH": "/usr/bin:/bin", "HOME": str(directory)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_appends_the_result_of_a_run(installed: Path, tmp_path: Path) -> None:
    """One line for the run that is over, and none for its start."""
    (tmp_path / "pipeline.yaml").write_text(f"{MINIMAL}reporters: {{results: {{type: file, path: runs.jsonl}}}}\n")
    python(installed, tmp_path, _REPORT)
    (line,) = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert json.loads(line) == {"pipeline": "shop", "run": 1, "state": "succeeded", "sha": None}


def test_without_the_package_its_type_is_unknown(tmp_path: Path) -> None:
    """The error names the types that are installed."""
    (tmp_path / "pipeline.yaml").write_text(f"{MINIMAL}reporters: {{results: {{type: file, path: runs.jsonl}}}}\n")
    with pytest.raises(ConfigError, match="'file'"):
        load(tmp_path / "pipeline.yaml")
