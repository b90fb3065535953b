"""`pipeline doctor` with Docker, HAProxy and a host that is reached by SSH."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.doctor.finding import Finding
from tests.support.ports import free_port
from tests.support.sshd import ssh_server
from tests.support.waiting import COMMAND_TIMEOUT

pytestmark = pytest.mark.docker

_FILE = """\
name: shop
deploy:
  target_group: web
  hosts:
    - {{name: app1, docker: 'ssh://app1', zone: a}}
    - {{name: app2, docker: 'ssh://app2', zone: b, address: 203.0.113.7}}
    - {{name: app3, docker: 'ssh://app3/nowhere.sock', zone: c}}
balancer:
  target_groups: {{web: {{port: 8080}}}}
  load_balancers: {{edge: {{listeners: [{{port: {port}, default_action: {{forward: web}}}}]}}}}
"""


def test_a_pipeline_with_hosts(base_image: str, tmp_path: Path) -> None:
    """Two hosts that are reached, one at an address that it has not, and one without Docker. Nothing is left."""
    with ssh_server(tmp_path) as server:
        (tmp_path / "pipeline.yaml").write_text(_FILE.format(port=free_port()))
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli.main", "doctor", "--json"],
            cwd=tmp_path,
            env={**server.environment, "PENSTOCK_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT,
        )
    assert (done.returncode, done.stderr) == (1, "")
    found = [Finding(**each) for each in json.loads(done.stdout)]
    by_check = {check: [each for each in found if each.check == check] for check in (each.check for each in found)}
    for check in ("Docker", "BuildKit", "HAProxy", "ports"):
        assert [each.status for each in by_check[check] if each.status == "failed"] == [], by_check[check]
    engine, clock, disk, address, loopback, reached = by_check["host app1"]
    assert engine.message == by_check["Docker"][0].message
    assert clock.message == "its clock agrees with that of this machine"
    assert disk.message.endswith("there")
    assert address.message == "127.0.0.1 is an address of the host"
    # Its SSH server is on this machine.
    assert (loopback.status, loopback.message.partition(",")[0]) == (
        "warning",
        "127.0.0.1 is this machine for the balancer",
    )
    assert reached.message == "the balancer reaches 127.0.0.1"
    assert by_check["host app2"][3].message.startswith("203.0.113.7 is no address of the host, ")
    assert by_check["host app3"] == [
        Finding.failed("host app3", "/nowhere.sock does not exist there", "start Docker there, or correct the path")
    ]
    assert not (tmp_path / "home").exists()
    assert list(tmp_path.glob("penstock-*")) == []
