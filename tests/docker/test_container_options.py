"""The options of containers on a real engine: as the process sees them, and as Docker tells them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docker.docker_cli import docker
from tests.docker.project import Project

pytestmark = pytest.mark.docker

# A release command that fails if it does not have the options of the service.
SEES = """\
import os, sys
assert (os.getuid(), os.getgid()) == (65534, 1234), os.getuid()
assert os.getcwd() == "/srv", os.getcwd()
# Of process 1: runc sets the limits of one that `docker exec` starts while that one raises them itself.
limits = [line.split()[3:5] for line in open("/proc/1/limits") if line.startswith("Max open files")]
assert limits == [["512", "1024"]], limits
open("/run/app/file", "w").close()
assert os.statvfs("/run/app").f_blocks * os.statvfs("/run/app").f_frsize == 2**20
try:
    open("/tmp/file", "w")
except OSError as error:
    assert error.strerror == "Read-only file system", error
else:
    sys.exit("the root file system is not read-only")
hosts = open("/etc/hosts").read().split("\\n")
assert "10.9.8.7\\tdb" in hosts and "2001:db8::5\\tv6" in hosts, hosts
assert any(line.endswith("\\tdev") for line in hosts), hosts
networks = [line for line in open("/proc/net/route") if line.split()[7] != "00000000" and line.split()[0] != "Iface"]
assert len(networks) == 2, networks
print("sees all")
"""
OPTIONS = """\
  user: 65534:1234
  working_dir: /srv
  stop_signal: SIGTERM
  read_only: true
  tmpfs: ["/run/app:size=1m,mode=1777"]
  ulimits: {nofile: {soft: 512, hard: 1024}, core: 0}
  extra_hosts: ["db:10.9.8.7", "v6=[2001:db8::5]", "dev:host-gateway"]
  labels: {com.example.team: shop}
  logging: {driver: local, options: {max-file: 2}}
  networks: {%s: {aliases: [shop-web]}}
"""
GRACE = "  stop_grace: 5s\n"
TESTS = "  test: {command: [python3, -m, unittest], timeout: 30s}\n"


@pytest.fixture
def network(base_image: str) -> Iterator[str]:
    """A network of another program, whose name sorts before that of the pipeline. It outlives the project."""
    name = f"a-test-{secrets.token_hex(4)}"
    docker("network", "create", name)
    yield name
    docker("network", "rm", name)


def inspect(container: str) -> dict[str, Any]:
    """Return what Docker tells of a container."""
    found: dict[str, Any] = json.loads(docker("inspect", container))[0]
    return found


def test_a_container_has_every_option(network: str, project: Project) -> None:
    """The options are in force for the service, its release command and run-once, and replace the containers."""
    project.write("sees.py", SEES)
    project.write("Dockerfile", 'ARG BASE_IMAGE\nFROM $BASE_IMAGE\nCOPY . /app\nCMD ["python3", "-u", "/app/app.py"]\n')
    project.configure()
    project.commit("1")
    project.pipeline("run")
    before = {container.id for container in project.containers()}
    release_command = "  release_command: {command: [python3, /app/sees.py]}\n"
    project.configure((GRACE, GRACE + OPTIONS % network + release_command))
    with project.load() as load:
        project.pipeline("run")
        assert load.stop().failed == 0
    project.assert_serving(2)
    assert not before & {container.id for container in project.containers()}
    for container in project.containers():
        _check(inspect(container.id), network, container.address)
        assert docker("exec", container.id, "python3", "/app/sees.py") == "sees all\n"
        assert docker("logs", container.id)
    assert project.pipeline("run-once", "--", "python3", "/app/sees.py").out.strip() == "sees all"
    # Found by its name in the other network, and only there.
    named = docker("run", "--rm", f"--network={network}", project.base_image, "getent", "hosts", "shop-web")
    assert len(named.split()) >= 2
    # Nothing has changed.
    kept = {container.id for container in project.containers()}
    project.pipeline("run")
    assert {container.id for container in project.containers()} == kept

    docker("network", "create", f"{network}.gone")
    project.configure((GRACE, f"{GRACE}  networks: [{network}.gone]\n"))
    docker("network", "rm", f"{network}.gone")
    refused = project.pipeline("run", code=2)
    assert f"deploy.networks: Docker has no network {network}.gone\n" in refused.err
    assert {container.id for container in project.containers()} == kept


def test_devices(project: Project) -> None:
    """The release command, the containers and the tests have them. A missing one stops the run, and nothing changes."""
    opens = "import os; os.open('/dev/net/tap', os.O_RDWR)"
    devices = "devices: ['/dev/net/tun:/dev/net/tap:rw']"
    # On some machines, only root may open it.
    project.write("Dockerfile", 'ARG BASE_IMAGE\nFROM $BASE_IMAGE\nCOPY . /app\nCMD ["python3", "-u", "/app/app.py"]\n')
    project.configure(
        (GRACE, f'{GRACE}  {devices}\n  release_command: {{command: [python3, -c, "{opens}"]}}\n'),
        (TESTS, f'  test: {{command: [python3, -c, "{opens}"], timeout: 30s, {devices}}}\n'),
    )
    project.commit("1")
    project.pipeline("run")
    project.assert_serving(1)
    kept = {container.id for container in project.containers()}
    for container in kept:
        docker("exec", container, "python3", "-c", opens)
        assert inspect(container)["HostConfig"]["Devices"] == [
            {"PathOnHost": "/dev/net/tun", "PathInContainer": "/dev/net/tap", "CgroupPermissions": "rw"}
        ]

    project.configure((GRACE, f"{GRACE}  devices: [/dev/net/missing]\n"))
    refused = project.pipeline("run", code=3)
    assert "/dev/net/missing" in refused.err
    assert {container.id for container in project.containers()} == kept


def test_a_log_driver_that_keeps_nothing(project: Project) -> None:
    """The plan says so, and the commands that show the output show none, also when a container fails."""
    project.configure((GRACE, f"{GRACE}  logging: {{driver: none}}\n"))
    project.commit("1")
    lost = "Docker keeps no output with the driver none, so `pipeline logs --app` and the errors of failed containers"
    assert lost in project.pipeline("plan").out
    project.pipeline("run")
    assert {inspect(each.id)["HostConfig"]["LogConfig"]["Type"] for each in project.containers()} == {"none"}
    assert project.pipeline("logs", "--app").out == ""
    project.configure((GRACE, f"{GRACE}  logging: {{driver: none}}\n  command: [python3, -c, 'raise SystemExit(3)']\n"))
    failed = project.pipeline("run", code=4)
    assert "its container exited with code 3" in failed.err
    assert project.pipeline("logs", "--app").out == ""


def _check(found: dict[str, Any], network: str, address: str) -> None:
    config, host = found["Config"], found["HostConfig"]
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("65534:1234", "/srv", "SIGTERM")
    assert config["Labels"]["com.example.team"] == "shop"
    assert host["ReadonlyRootfs"] is True
    assert host["Tmpfs"] == {"/run/app": "size=1m,mode=1777"}
    assert {each["Name"]: (each["Soft"], each["Hard"]) for each in host["Ulimits"]} == {
        "nofile": (512, 1024),
        "core": (0, 0),
    }
    assert host["LogConfig"] == {"Type": "local", "Config": {"max-file": "2", "max-size": "10485760"}}
    joined = found["NetworkSettings"]["Networks"]
    assert joined.keys() == {network, host["NetworkMode"]}
    assert "shop-web" in joined[network]["Aliases"]
    assert joined[host["NetworkMode"]]["IPAddress"] == address
