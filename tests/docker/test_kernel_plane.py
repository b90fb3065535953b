"""Deployments of services that the kernel carries. The client is on another machine, the targets are containers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pipeline.balancer.flows.process import flow_client
from pipeline.balancer.model import TargetState
from tests.docker.docker_cli import docker
from tests.docker.far_client import FarClient, FarFlows
from tests.docker.flow_service import deploy_flows, echo_files
from tests.docker.project import Project, until
from tests.support.namespace import obstacle
from tests.support.waiting import COMMAND_TIMEOUT

pytestmark = pytest.mark.docker


@pytest.fixture
def far() -> Iterator[FarClient]:
    """A client on another machine."""
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    client = FarClient()
    try:
        yield client
    finally:
        client.close()


def deploy(project: Project, far: FarClient, protocol: str, attributes: str = "{}") -> None:
    """Deploy version 1 of an example, which answers with the client's address too."""
    deploy_flows(project, far.host, echo_files(protocol), protocol=protocol, attributes=attributes)


def test_udp_service_is_replaced_under_load(project: Project, far: FarClient) -> None:
    """New flows of UDP are all answered while the containers are replaced, which see the client's own address."""
    deploy(project, far, "UDP")
    flows = FarFlows(far, project.port, socket.SOCK_DGRAM)
    with far.connect(project.port, socket.SOCK_DGRAM) as lasting, flows.running():
        lasting.send(b"hello\n")
        assert lasting.recv(200).decode() == f"1 {far.address} hello\n"
        project.commit("2")
        run = project.start("run")
        until(lambda: any(each.state is TargetState.DRAINING for each in project.targets()), "a target drains")
        lasting.send(b"hello\n")
        assert lasting.recv(200)
        project.finish(run)
        until(lambda: any(answer.startswith("2 ") for answer in flows.answers[-3:]), "version 2 answers")
        lasting.send(b"hello\n")
        assert lasting.recv(200).decode() == f"2 {far.address} hello\n"
    assert flows.failures == []
    assert {answer.split()[1] for answer in flows.answers} == {far.address}
    project.assert_serving(release=2)
    project.pipeline("down")


@pytest.mark.parametrize("preserve", [True, pytest.param(False, marks=pytest.mark.long)])
def test_tcp_service_is_replaced_under_load(project: Project, far: FarClient, preserve: bool) -> None:
    """A replacement of a TCP service that is killed and completed refuses and cuts no connection.

    Containers see the client's own address if the group preserves it.
    """
    deploy(project, far, "TCP", f"{{preserve_client_ip.enabled: {str(preserve).lower()}}}")
    flows = FarFlows(far, project.port, socket.SOCK_STREAM)
    with flows.running(), far.connect(project.port, socket.SOCK_STREAM) as lasting:
        lasting.send(b"hello\n")
        first = lasting.recv(200).decode()
        project.commit("2")
        project.crash("target.draining", "run")
        lasting.send(b"hello\n")
        assert lasting.recv(200).decode() == first
        lasting.close()
        project.pipeline("recover")
        project.pipeline("run")
        until(lambda: any(answer.startswith("2 ") for answer in flows.answers[-3:]), "version 2 answers")
    assert flows.failures == []
    counted = flow_client(project.home.balancer).ask("counts")["traffic"][f"{project.name}.web"]
    assert sum(new for new, _ in counted.values()) > 10
    seen = {answer.split()[1] for answer in flows.answers}
    assert seen == {far.address} if preserve else far.address not in seen
    project.pipeline("down")


_ASK = """
import socket, sys
host, port, kind = sys.argv[1], int(sys.argv[2]), getattr(socket, sys.argv[3])
flow = socket.socket(socket.AF_INET, kind)
flow.settimeout(1)
try:
    flow.connect((host, port))
    flow.sendall(b"hello\\n")
    print(flow.recv(200).decode().split()[1])
except TimeoutError:
    print("nothing")
except ConnectionError:
    print("refused")
"""


def ask_from(network: str, project: Project, host: str, kind: str) -> str:
    """Return what a client in a container of a Docker network gets: the address that its target sees, or no answer."""
    name = f"penstock-test-{project.port}"
    command = ("python3", "-c", _ASK, host, str(project.port), kind)
    try:
        return docker("run", "--rm", "--name", name, "--network", network, project.base_image, *command).strip()
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False, timeout=COMMAND_TIMEOUT)


@pytest.mark.parametrize(
    ("protocol", "attributes", "far_sees_own", "other_bridge"),
    [
        ("TCP", "{}", False, "answered"),
        ("TCP", "{preserve_client_ip.enabled: true}", True, "nothing"),
        ("UDP", "{}", True, "nothing"),
    ],
)
def test_who_reaches_a_target(
    project: Project, far: FarClient, protocol: str, attributes: str, far_sees_own: bool, other_bridge: str
) -> None:
    """The table in docs/elb.md: clients on other machines, on this one, and in containers of both kinds of bridge."""
    deploy(project, far, protocol, attributes)
    kind = socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM

    def near(host: str) -> str:
        command = [sys.executable, "-c", _ASK, host, str(project.port), kind.name]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT
        ).stdout.strip()

    with far.connect(project.port, kind) as flow:
        flow.sendall(b"hello\n")
        assert (flow.recv(200).decode().split()[1] == far.address) is far_sees_own
    assert near(far.host) not in ("nothing", "refused")
    # The listener has one address.
    assert near("127.0.0.1") == "refused"
    networks = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}"
    same = docker("inspect", "--format", networks, project.containers()[0].name).strip()
    seen = ask_from(same, project, far.host, kind.name)
    assert seen not in ("nothing", "refused")

    def other_bridge_gets() -> bool:
        found = ask_from("bridge", project, far.host, kind.name)
        return found == "nothing" if other_bridge == "nothing" else found not in ("nothing", "refused")

    # Docker takes its rule between networks away for a moment while any network is made, as other tests do.
    until(other_bridge_gets, f"another bridge gets: {other_bridge}")
