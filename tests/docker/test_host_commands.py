"""Commands to a pipeline whose replicas are on this machine and on a host that is reached by SSH."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.engine.hosts import local_engine
from pipeline.engine.labels import ROLE_ACCESSORY, ROLE_CONSOLE
from tests.docker.project import Projects, until
from tests.docker.serving import serving
from tests.docker.two_hosts import TwoHosts, two_hosts
from tests.support.ports import free_port
from tests.support.waiting import COMMAND_TIMEOUT

pytestmark = pytest.mark.docker


# Seconds between two checks that need no event.
BACKSTOP = 60
# What knows the accessory by its name is in the network of this machine.
REACH = "[python3, -c, \"import socket; socket.gethostbyname('db')\"]"
OTHERS = f"""\
accessories:
  db:
    image: "{{base}}"
    command: [sleep, "600"]
    init: true
    health_check: {{{{command: ["true"]}}}}
    ports: ["{{here}}:{{port}}:5432"]
deploy:
  release_command: {{{{command: {REACH}}}}}
  hooks:
    BeforeInstall:
      - {{{{host_command: [touch, {{touched}}]}}}}
      - {{{{command: {REACH}}}}}
  services:
    web: {{{{target_group: web, replicas: {{replicas}}}}}}
    nightly: {{{{command: {REACH}, schedule: "0 3 * * *"}}}}
"""


@pytest.fixture
def hosts(projects: Projects, base_image: str, tmp_path: Path) -> Iterator[TwoHosts]:
    """Two hosts without replicas."""
    with two_hosts(projects, base_image, tmp_path) as made:
        made.project.replicas = 2
        yield made


@pytest.mark.long
def test_everything_but_replicas_is_on_this_machine(hosts: TwoHosts, tmp_path: Path) -> None:
    """Release commands, hooks, jobs and accessories reach one another, while all replicas are on another host.

    `pipeline down` leaves none of it.
    """
    project, touched = hosts.project, tmp_path / "touched"
    hosts.configure("far")
    file = project.directory / "pipeline.yaml"
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        # Sends nothing.
        probe.connect((hosts.far.host, 9))
        here = probe.getsockname()[0]
    others = OTHERS.format(base=project.base_image, here=here, port=free_port(), touched=touched, replicas=2)
    text = file.read_text().replace("deploy:\n  target_group: web\n", others).replace("  replicas: 2\n", "")
    file.write_text(text)
    hosts.run("run")
    assert hosts.places() == {("far", "1"): 2}
    assert touched.exists()
    assert [each.name.rpartition(".")[0] for each in project.containers(ROLE_ACCESSORY)] == ["shop.db"]
    assert hosts.on_far(ROLE_ACCESSORY) == []
    hosts.run("job", "run", "nightly")
    said = hosts.run("down").out
    assert "stays" not in said
    with local_engine(project.home.id) as engine:
        assert not engine.networks.has(engine.networks.name("shop"))
    assert (hosts.on_far(), project.containers(ROLE_ACCESSORY)) == ([], [])


def test_commands_know_hosts(hosts: TwoHosts) -> None:
    """They reach replicas on both, and on one while the other one is lost."""
    hosts.configure("near", "far")
    hosts.run("run")
    near, far = hosts.project.containers()[0].name, hosts.on_far()[0].name
    output = hosts.run("status").out
    assert re.search(rf"{near} +healthy .* on near", output)
    assert re.search(rf"{far} +healthy .*{hosts.far.host}:\d+.* on far", output)
    found = json.loads(hosts.run("status", "--json").out)["hosts"]
    assert [(each["name"], len(each["containers"]), each["fault"]) for each in found] == [
        ("near", 1, None),
        ("far", 1, None),
    ]
    assert re.search(rf"{far} .* on far", hosts.run("balancer").out)
    for name in (near, far):
        assert hosts.run("exec", "--replica", name, "--", "cat", "version.txt").out == "1\n"
        hosts.run("exec", "--replica", name, "--", "sh", "-c", f"echo from {name} >/proc/1/fd/1")
    until(lambda: hosts.run("logs", "--app", "--grep", "^from ").out.count("\n") == 2, "the output of both")

    hosts.server.stop()
    assert re.search(r"host far (does not answer|is slow or cannot be reached): .+", hosts.run("status").out)
    shown = hosts.run("logs", "--app", "--grep", "^from ")
    assert f"from {near}" in shown.out
    assert f"from {far}" not in shown.out
    assert shown.err.startswith("note: host far does not answer, its replicas are missing here: ")
    assert hosts.run("exec", "--", "cat", "version.txt").out == "1\n"
    refused = hosts.run("exec", "--replica", far, "--", "true", code=3).err
    assert f"shop has no replica {far} on the hosts that answer, and far does not answer: " in refused
    hosts.server.start()


@pytest.mark.long
def test_nothing_is_left_on_a_host(hosts: TwoHosts) -> None:
    """Neither by `run-once`, killed or not, nor by a `down` that is repeated when a lost host is back."""
    hosts.configure("near", "far")
    hosts.run("run")
    hosts.run("node", "drain", "near")
    assert hosts.run("run-once", "--", "sh", "-c", "cat version.txt; exit 7", code=7).out == "1\n"
    assert hosts.on_far(ROLE_CONSOLE) == []
    killed = hosts.project.start("run-once", "--", "sleep", "600", PATH=hosts.server.environment["PATH"])
    until(lambda: hosts.on_far(ROLE_CONSOLE), "the container of the command")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait(timeout=COMMAND_TIMEOUT)
    hosts.run("recover")
    assert hosts.on_far(ROLE_CONSOLE) == []

    hosts.server.stop()
    left = hosts.run("down").out
    assert "host far is lost: what is on it stays; repeat `pipeline down` when it is back" in left
    hosts.server.start()
    assert len(hosts.on_far()) == 2
    hosts.run("down")
    assert hosts.on_far() == []


@pytest.mark.long
def test_the_daemon_notices_what_happens_on_a_host(hosts: TwoHosts) -> None:
    """An exit, the loss of the host, and its return, long before the check that needs no event."""
    hosts.configure("near", "far")
    hosts.run("run")
    with serving(hosts.project, PATH=hosts.server.environment["PATH"]) as served:
        until(lambda: "managed" in hosts.run("status").out, "the daemon")
        hosts.far.docker("kill", hosts.on_far()[0].name)
        served.await_event("target.exited", 1)
        served.await_event("reconcile.repaired", 1)
        hosts.server.stop()
        served.await_event("host.lost", 1)
        began = time.monotonic()
        hosts.server.start()
        served.await_event("host.returned", 1)
        assert time.monotonic() - began < BACKSTOP / 2
        until(lambda: sum(hosts.places().values()) == 2, "no more replicas than wanted")
