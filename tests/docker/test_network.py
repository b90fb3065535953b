"""Deployments into a target group of a network load balancer."""

from __future__ import annotations

import shutil
import socket
from collections import Counter

import pytest

from pipeline.balancer.model import TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.engine.labels import LABEL_ZONE
from tests.docker.get import get
from tests.docker.project import Project, until
from tests.docker.tcp_clients import TcpClients
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE

pytestmark = pytest.mark.docker

_EXAMPLE = ROOT / "examples" / "tcp"


@pytest.fixture
def tcp(project: Project) -> Project:
    """The example of a TCP service, whose version 1 is the active release 1."""
    project.git("rm", "--quiet", "-r", "--force", "app.py", "test_app.py")
    for name in ("server.py", "Dockerfile", "version.txt"):
        shutil.copy(_EXAMPLE / name, project.directory / name)
    text = (_EXAMPLE / "pipeline.yaml").read_text()
    for old, new in (
        ("name: echo\n", f"name: shop\nbuild: {{args: {{BASE_IMAGE: {project.base_image!r}}}}}\n"),
        ("7000", str(project.port)),
        ("deregistration_delay: 30s", "deregistration_delay: 6s\n      health_check: {interval: 200ms}"),
    ):
        assert old in text
        text = text.replace(old, new)
    project.write("pipeline.yaml", text.replace("target_group: echo", "target_group: web").replace("echo", "web"))
    project.commit("1")
    project.pipeline("run")
    return project


def test_connections_outlive_their_replacement(tcp: Project) -> None:
    """A rolling replacement refuses and cuts no connection that ends within the delay."""
    clients = TcpClients(tcp.port, seconds=3)
    with clients.running():
        until(lambda: clients.answers["1"] > 50, "version 1 answers")
        tcp.commit("2")
        out = tcp.pipeline("run").out
        until(lambda: clients.lasting >= 6, "connections have lasted")
    assert (clients.failures, clients.cut) == ([], [])
    assert clients.answers["1"] > 50
    assert clients.answers["2"] > 0
    assert "in flight" in out
    assert f"tcp://localhost:{tcp.port}" in out
    tcp.assert_serving(release=2)


def test_a_connection_is_closed_at_the_end_of_the_delay(tcp: Project) -> None:
    """A connection that does not end is kept for the delay, and then closed. The event says how many there were."""
    with socket.create_connection(("127.0.0.1", tcp.port), timeout=DEADLINE) as connection:
        connection.sendall(b"hello\n")
        assert connection.recv(100) == b"1 hello\n"
        tcp.commit("2")
        run = tcp.start("run")
        balancer = open_balancer(tcp.home.balancer)
        until(
            lambda: any(h.state is TargetState.DRAINING and h.in_flight for h in balancer.target_health("shop", "web")),
            "the target of the connection drains",
        )
        connection.sendall(b"still here\n")
        assert connection.recv(100) == b"1 still here\n"
        assert connection.recv(100) == b""
        out = tcp.finish(run).out
    assert "deregistration delay of 6 s expired, aborted 1 in flight" in out
    tcp.assert_serving(release=2)


def place(tcp: Project, zones: str) -> None:
    """Declare the zones of the load balancer, or none, in a commit of their own."""
    path = tcp.directory / "pipeline.yaml"
    kept = [line for line in path.read_text().splitlines() if not line.startswith("      zones:")]
    at = kept.index("      type: network") + 1
    tcp.write("pipeline.yaml", "\n".join([*kept[:at], *([f"      zones: {zones}"] if zones else []), *kept[at:], ""]))


@pytest.mark.long
def test_replacements_in_zones_leave_no_node_without_a_target(tcp: Project) -> None:
    """Each node serves only the targets of its zone, and refuses nothing while these are replaced, also after a kill.

    Replicas are spread over the zones, and keep serving while zones are added and removed.
    """
    place(tcp, "{zone-a: 127.0.0.2, zone-b: 127.0.0.3}")
    tcp.pipeline("run")
    # The release from before has no zones, so its replicas serve every node.
    assert {target.target.zone for target in tcp.targets()} == {None}
    nodes = [TcpClients(tcp.port, 2, address=f"127.0.0.{last}") for last in (2, 3)]
    with nodes[0].running(2, 2), nodes[1].running(2, 2):
        tcp.commit("2")
        out = tcp.pipeline("run").out
        assert Counter(target.target.zone for target in tcp.targets()) == {"zone-a": 1, "zone-b": 1}
        tcp.commit("3")
        tcp.crash("target.draining", "run")
        tcp.pipeline("recover")
        tcp.pipeline("run")
        assert Counter(target.target.zone for target in tcp.targets()) == {"zone-a": 1, "zone-b": 1}
        until(lambda: all(clients.lasting >= 4 for clients in nodes), "connections have lasted")
    assert [(clients.failures, clients.cut) for clients in nodes] == [([], []), ([], [])]
    assert all(clients.answers["3"] > 0 for clients in nodes)
    assert f"tcp://127.0.0.2:{tcp.port}" in out
    assert "registered in zone-b" in out
    assert {container.labels[LABEL_ZONE] for container in tcp.containers()} == {"zone-a", "zone-b"}
    assert "in zone-a" in tcp.pipeline("status").out
    with (kept := TcpClients(tcp.port, 2, address="127.0.0.2")).running(2, 1):
        place(tcp, "{zone-a: 127.0.0.2}")
        tcp.pipeline("run")
        assert {target.target.zone for target in tcp.targets()} == {"zone-a", None}
        until(lambda: kept.lasting, "a connection has lasted")
    assert (kept.failures, kept.cut) == ([], [])


def test_a_killed_deployment_cuts_no_connection(tcp: Project) -> None:
    """A run that is killed while a target drains keeps its connections, and so does the run that completes it."""
    clients = TcpClients(tcp.port, seconds=3)
    with clients.running():
        until(lambda: clients.answers["1"] > 50, "version 1 answers")
        tcp.commit("2")
        tcp.crash("target.draining", "run")
        tcp.pipeline("recover")
        tcp.pipeline("run")
        until(lambda: clients.lasting >= 6, "connections have lasted")
    assert (clients.failures, clients.cut) == ([], [])
    assert clients.answers["2"] > 0
    assert {target.state for target in tcp.targets()} == {TargetState.HEALTHY}


def test_a_rollout_behind_both_load_balancers(project: Project) -> None:
    """With a network load balancer before the application load balancer, a rolling replacement loses no request."""
    inner = free_port()
    front = f"{{protocol: TCP, target_type: alb, load_balancer: edge, port: {inner}, health_check: {{path: /healthz}}}}"
    outer = f"{{protocol: TCP, port: {project.port}, default_action: {{forward: front}}}}"
    text = (project.directory / "pipeline.yaml").read_text().replace(f"{{port: {project.port},", f"{{port: {inner},")
    text = text.replace("  load_balancers:\n", f"    front: {front}\n  load_balancers:\n")
    project.write(
        "pipeline.yaml", f"{text}    outer:\n      type: network\n      scheme: internal\n      listeners: [{outer}]\n"
    )
    project.commit("1")
    project.pipeline("run")
    with project.load() as load:
        project.commit("2")
        project.pipeline("run")
        until(lambda: "sample-app 2" in get(project), "version 2 answers")
        report = load.stop()
    assert report.failed == 0, report.failures
    project.assert_serving(release=2)
    (health,) = open_balancer(project.home.balancer).target_health("shop", "front")
    assert (health.target.id, health.state) == ("edge", TargetState.HEALTHY)
