"""Machines made of namespaces: cables, power, SSH, and what is left when the process that made them is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.testing.machines.keeper import control_group
from pipeline.testing.machines.site import Site
from pipeline.testing.machines.swarm import form_swarm, leader
from tests.support.three_servers import three_servers
from tests.support.waiting import COMMAND_TIMEOUT, DEADLINE, until

_STARTER = """
import sys
from pipeline.testing.machines.site import site

with site("solo", in_memory=True) as made:
    print(made.lan.home, made.servers["solo"].machine.folder.parent, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[Site]:
    with three_servers("app1", "app2") as made:
        yield made


def reaches(servers: Site, start: str, end: str) -> bool:
    """Return whether a machine can connect to another one."""
    connect = f"import socket; socket.create_connection(({servers.servers[end].address!r}, 22), 2)"
    command = servers.servers[start].machine.inside(sys.executable, "-c", connect)
    return subprocess.run(command, capture_output=True, check=False, timeout=COMMAND_TIMEOUT).returncode == 0


def said_by_ssh(servers: Site, name: str, command: str) -> str:
    """Return the output of a command that is run by SSH."""
    words = ["ssh", "-oConnectTimeout=5", name, command]
    done = subprocess.run(
        words, env=servers.access.environment, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT
    )
    return done.stdout.strip() or done.stderr


def test_each_machine_has_its_own_engine_and_name(servers: Site) -> None:
    """SSH leads to the machine of that name, and its usual socket to its own engine."""
    for name in servers.servers:
        assert said_by_ssh(servers, name, "hostname && docker info --format '{{.Name}}'") == f"{name}\n{name}"


def test_a_cut_cable_is_mended(servers: Site) -> None:
    """Without the cable nothing is reached, and with it all is again."""
    assert reaches(servers, "app2", "app1")
    servers.servers["app1"].cut_cable()
    assert not reaches(servers, "app2", "app1")
    assert servers.servers["app1"].engine.answers()
    servers.servers["app1"].mend_cable()
    until(lambda: reaches(servers, "app2", "app1"), "an answer through the cable")


def test_a_machine_comes_back_after_a_power_cut(servers: Site) -> None:
    """It has the same address, which others reach at once, and its engine has the same identity."""
    server = servers.servers["app2"]
    before = server.engine.docker("info", "--format", "{{.ID}}")
    server.cut_power()
    assert not reaches(servers, "app1", "app2")
    server.start()
    server.engine.await_answer()
    assert reaches(servers, "app1", "app2")
    assert said_by_ssh(servers, "app2", "hostname") == "app2"
    assert server.engine.docker("info", "--format", "{{.ID}}") == before


def test_the_machines_form_a_swarm(servers: Site) -> None:
    """Each machine is a node of that name, reached at its own address, in its zone."""
    form_swarm(servers, managers=1, zones={"app1": "a", "app2": "b"})
    assert leader(servers).name == "app1"
    engine = servers.servers["app1"].engine
    form = "{{.Description.Hostname}} {{.Status.Addr}} {{.Spec.Labels.zone}}"
    found = [engine.docker("node", "inspect", name, "--format", form).split() for name in servers.servers]
    assert found == [
        ["app1", servers.servers["app1"].address, "a"],
        ["app2", servers.servers["app2"].address, "b"],
    ]


def test_nothing_is_left_when_the_starter_is_killed(servers: Site) -> None:
    """Namespaces, cables, files and control groups disappear after SIGKILL."""
    command = [sys.executable, "-c", _STARTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        address, folder = starter.stdout.readline().split()
        try:
            assert Path(folder).exists()
            assert address in addresses()
        finally:
            starter.kill()
    until(lambda: not Path(folder).exists(), "the end of the files", deadline=DEADLINE)
    until(lambda: address not in addresses(), "the end of the cable")
    group = control_group(Path(folder))
    assert [*Path("/sys/fs/cgroup").glob(group), *Path("/sys/fs/cgroup").glob(f"*/{group}")] == []


def addresses() -> str:
    """Return the addresses of this machine, as text."""
    return subprocess.run(
        ["ip", "-4", "address"], capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT
    ).stdout
