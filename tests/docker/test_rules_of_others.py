"""The rules of Docker and of a user's own programs, during deployments of a service that the kernel carries."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.balancer.flows.process import flow_agent
from pipeline.base.home import Home
from tests.docker.docker_cli import docker
from tests.docker.flow_service import deploy_flows, echo_files
from tests.docker.private_engine import PrivateEngine, obstacle, private_engine
from tests.docker.project import Project, until
from tests.support.namespace import obstacle as namespace_obstacle
from tests.support.waiting import COMMAND_TIMEOUT, DEADLINE

_OBSTACLE = obstacle() or namespace_obstacle()
pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(bool(_OBSTACLE), reason=_OBSTACLE or "there is no obstacle"),
]

# Forms that nft prints in its own way, and a chain that sees what the kernel forwards to a target.
_USER = """
table inet user {
  set friends { type ipv4_addr; flags interval; elements = { 10.9.0.0/16, 10.11.0.0-10.11.0.9 }; }
  chain input { type filter hook input priority 10; ip saddr @friends counter; tcp dport vmap { 22 : accept }; }
  chain forward {
    type filter hook forward priority 10; policy drop;
    ct status dnat accept; ct state established,related accept;
  }
}
table ip user_nat {
  chain prerouting { type nat hook prerouting priority -101; tcp dport 9 counter dnat to 10.9.0.1:99; }
}
"""


@pytest.fixture
def engine(base_image: str) -> Iterator[PrivateEngine]:
    """An engine with Docker's rules, on a machine of its own."""
    with private_engine(base_image, rules=True) as engine:
        yield engine


@pytest.fixture
def project(engine: PrivateEngine, base_image: str, tmp_path: Path) -> Iterator[Project]:
    """A project of that machine."""
    project = Project(tmp_path / "shop", base_image, Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})).create()
    yield project
    with engine.network():
        project.remove()


def nft(*words: str) -> str:
    """Run nft, and return what it prints, without the values of counters."""
    return subprocess.run(
        ["nft", "--stateless", *words], capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT
    ).stdout


def own() -> str:
    """The table of the load balancer, or an empty text without one."""
    name = next((line.split()[-1] for line in nft("list", "tables").splitlines() if " inet penstock_" in line), "")
    return nft("list", "table", "inet", name) if name else ""


def others() -> str:
    """All other tables."""
    return nft("list", "ruleset").replace(own(), "")


def apart_from_containers() -> str:
    """All other tables without Docker's rules for networks and their containers."""
    form = "{{range .IPAM.Config}}{{.Subnet}}{{end}}"
    subnets = (
        docker("network", "inspect", "--format", form, name).strip()
        for name in docker("network", "ls", "--quiet", "--filter", "label=penstock.home").split()
    )
    ours = ('"br-', *(f" {subnet.rpartition('.')[0]}." for subnet in subnets))
    return "".join(line for line in others().splitlines(keepends=True) if not any(part in line for part in ours))


def answer(engine: PrivateEngine, project: Project) -> str:
    """What the service answers to a new connection from another machine: this one."""
    with socket.create_connection((engine.host, project.port), timeout=DEADLINE) as connection:
        connection.sendall(b"hello\n")
        return connection.recv(100).decode()


@pytest.mark.long
def test_rules_of_others_stay(engine: PrivateEngine, project: Project) -> None:
    """The rules of a user and of Docker are byte for byte the same after each step, apart from Docker's for containers.

    The steps: a deployment, one that is killed, its recovery, the end of the flow agent, a flush of the load balancer's
    rules, which come back, and `pipeline down`.
    """
    with engine.network():
        subprocess.run(["nft", "-f", "-"], input=_USER, text=True, check=True, timeout=COMMAND_TIMEOUT)
        # Docker makes some chains with the first container that publishes a port.
        docker("network", "create", "theirs")
        docker(
            "run", "--detach", "--network=theirs", "--publish=127.0.0.1::80", project.base_image, "sleep", "infinity"
        )
        before, lasting = others(), apart_from_containers()
        assert "chain DOCKER-USER" in lasting
        deploy_flows(project, engine.host, echo_files(), delay="1s", attributes="{preserve_client_ip.enabled: true}")
        assert apart_from_containers() == lasting
        assert f"dport {project.port}" in own()
    assert answer(engine, project).startswith("1 ")
    with engine.network():
        project.commit("2")
        project.crash("target.draining", "run")
        assert apart_from_containers() == lasting
        project.pipeline("recover")
        project.pipeline("run")
        assert apart_from_containers() == lasting
    assert answer(engine, project).startswith("2 ")
    with engine.network():
        held = others()
        agent = flow_agent(project.home.balancer).running()
        assert agent
        os.kill(agent, signal.SIGKILL)
        project.pipeline("recover")
        assert others() == held
        nft("delete", "table", "inet", own().split()[2])
        until(lambda: f"dport {project.port}" in own(), "the rules are back")
        assert others() == held
    assert answer(engine, project).startswith("2 ")
    with engine.network():
        project.pipeline("down")
        assert (others(), own()) == (before, "")
