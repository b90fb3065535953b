"""`pipeline balancer hosts`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_file import RegistryFile
from tests.support.command_line import pipeline
from tests.support.zoned import ZONES, application, declared


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path))
    (tmp_path / "balancer").mkdir()
    return tmp_path


def store(home: Path, registry: Registry) -> None:
    RegistryFile(home / "balancer" / "registry.json").write(registry)


def test_lines(home: Path) -> None:
    """Each address is one line, with the names of the load balancer and of the zone."""
    balancers = {"edge": application(zones=ZONES), "in": application(1, scheme="internal")}
    store(home, declared(shop=balancers))
    done = pipeline("balancer", "hosts")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "127.0.1.1  edge.shop.elb.internal edge.elb.internal zone-a.edge.shop.elb.internal",
        "127.0.2.1  edge.shop.elb.internal edge.elb.internal zone-b.edge.shop.elb.internal",
        "127.0.0.1  in.shop.elb.internal in.elb.internal",
    ]


def test_data(home: Path) -> None:
    """`--json` has the same addresses and names, as a list."""
    store(home, declared(shop={"in": application(scheme="internal")}))
    assert json.loads(pipeline("balancer", "hosts", "--json").stdout) == [
        {"address": "127.0.0.1", "names": ["in.shop.elb.internal", "in.elb.internal"]}
    ]


def test_nothing_is_declared(home: Path) -> None:
    """Without load balancers there is no line, so that the output can always be appended to a hosts file."""
    done = pipeline("balancer", "hosts")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_address_of_the_machine(home: Path) -> None:
    """A load balancer on every address has one address of this machine for each IP version."""
    store(home, declared(shop={"edge": application(address="0.0.0.0")}))
    (line,) = pipeline("balancer", "hosts").stdout.splitlines()
    assert not line.startswith("0.0.0.0")
    assert line.endswith("  edge.shop.elb.internal edge.elb.internal")


def test_it_loads_no_dns_server() -> None:
    """The commands of the balancer start without dnspython and asyncio."""
    code = "import sys, pipeline.cli.balancer, pipeline.cli.serve, pipeline.balancer.names.hosts; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"dns", "asyncio"} & set(done.stdout.split())
