"""The daemon on a machine whose inotify instances are used up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pipeline_yaml import MINIMAL
from tests.support.repository import Work
from tests.support.waiting import until

_COMMAND = (sys.executable, "-m", "pipeline.cli.main", "serve")
_LOWER = 'echo 0 > /proc/sys/user/max_inotify_instances || exit 77; exec "$@"'


def test_the_daemon_polls_and_says_so(tmp_path: Path) -> None:
    """It reports that it polls the repository and the spool, and finds each commit."""
    work = Work(tmp_path)
    (work.path / "pipeline.yaml").write_text(MINIMAL)
    output = tmp_path / "output"
    with output.open("wb") as log:
        daemon = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "sh", "-c", _LOWER, "sh", *_COMMAND],
            cwd=work.path,
            env={**os.environ, "PENSTOCK_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def printed(text: str) -> bool:
        if daemon.poll() == 77 or "unshare failed" in output.read_text():
            pytest.skip("no limit of one's own can be set here")
        assert daemon.poll() is None, output.read_text()
        return text in output.read_text()

    try:
        until(lambda: printed("cannot watch the hook spool, polling it every second"), "a word on the spool")
        until(lambda: printed("cannot watch the repository, polling every 2 s"), "a word on the repository")
        until(lambda: printed("run 1 "), "the first run")
        work.commit("two")
        until(lambda: printed("run 2 "), "the second run")
        assert "Traceback" not in output.read_text()
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(100)
