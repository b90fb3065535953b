"""`pipeline serve --aws` in a folder without a pipeline.yaml: a real daemon for the stacks of a home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pipeline.aws.keys import AccessKeys
from pipeline.base.home import Home
from tests.support.aws import client
from tests.support.ports import free_port
from tests.support.waiting import COMMAND_TIMEOUT, until

COMMAND = (sys.executable, "-m", "pipeline.cli.main", "serve")


def test_a_daemon_needs_no_pipeline(tmp_path: Path) -> None:
    """It answers ECS's API, ends by SIGTERM, and says what it serves. Without --aws, a file is needed as before."""
    environment = {**os.environ, "PENSTOCK_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"}
    key = AccessKeys(Home.locate(environment).aws).create("aws")
    address = f"127.0.0.1:{free_port()}"
    refused = subprocess.run(
        COMMAND, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT
    )
    assert refused.returncode == 2
    assert "pipeline.yaml" in refused.stderr
    with (tmp_path / "out").open("wb") as output:
        process = subprocess.Popen([*COMMAND, "--aws", address], cwd=tmp_path, env=environment, stderr=output)
    try:
        until(lambda: "serving the stacks of" in (tmp_path / "out").read_text(), "the start of the daemon", deadline=60)
        ecs = client("ecs", f"http://{address}", {"id": key.id, "secret": key.secret})
        assert [arn.rpartition("/")[2] for arn in ecs.list_clusters()["clusterArns"]] == ["default"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait(timeout=COMMAND_TIMEOUT)
