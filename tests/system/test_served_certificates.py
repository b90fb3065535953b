"""`pipeline serve` gets certificates from Pebble, and `pipeline status` shows them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration
from pipeline.balancer.planes import open_balancer
from tests.support.pebble import pebble
from tests.support.pipeline_yaml import MINIMAL
from tests.support.ports import free_port
from tests.support.repository import Work
from tests.support.waiting import COMMAND_TIMEOUT, until

_PIPELINE = (sys.executable, "-m", "pipeline.cli.main")
_OWNER = "shop"


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[Balancer]:
    """The balancer of the home."""
    opened = open_balancer(tmp_path / "home" / "balancer")
    yield opened
    opened.withdraw(_OWNER)


def declare(balancer: Balancer, port: int, *certificates: dict[str, Any]) -> None:
    """Declare an HTTPS listener with these certificates."""
    listener = {
        "port": port,
        "protocol": "HTTPS",
        "certificates": [{"acme": each} for each in certificates],
        "default_action": {"fixed_response": {"status_code": "204"}},
    }
    edge = {"scheme": "internal", "listeners": [listener]}
    balancer.apply(
        _OWNER, Declaration.model_validate({"target_groups": {"web": {"port": 80}}, "load_balancers": {"edge": edge}})
    )


def test_the_daemon_gets_certificates(tmp_path: Path, balancer: Balancer) -> None:
    """Of what is declared before it starts, and while it runs. Its events and the status name them."""
    work, port = Work(tmp_path), free_port()
    (work.path / "pipeline.yaml").write_text(MINIMAL)
    environment = {**os.environ, "PENSTOCK_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"}
    output = tmp_path / "output"
    (tmp_path / "pebble").mkdir()

    def status() -> dict[str, Any]:
        done = subprocess.run(
            [*_PIPELINE, "status", "--json"],
            cwd=work.path,
            env=environment,
            capture_output=True,
            check=True,
            timeout=COMMAND_TIMEOUT,
        )
        return dict(json.loads(done.stdout))

    with pebble(tmp_path / "pebble", rejected_nonces=5) as authority, output.open("wb") as log:
        first, second = authority.declared("one.test"), authority.declared("two.test")
        declare(balancer, port, first)
        assert [each["expires"] for each in status()["certificates"]] == [None]
        daemon = subprocess.Popen(
            [*_PIPELINE, "serve"], cwd=work.path, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            issued = "certificate for {}.test issued, it expires on "
            until(lambda: issued.format("one") in output.read_text(), "the first certificate", deadline=60)
            declare(balancer, port, first, second)
            until(lambda: issued.format("two") in output.read_text(), "the second certificate", deadline=60)
            found = status()["certificates"]
            assert [each["domains"] for each in found] == [["one.test"], ["two.test"]]
            assert all(each["expires"] and not each["error"] for each in found)
            assert "Traceback" not in output.read_text()
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(100)
