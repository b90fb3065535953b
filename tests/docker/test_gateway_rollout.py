"""Deployments of appliances behind a gateway load balancer. Clients and servers are on other machines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.docker.docker_cli import docker
from tests.docker.project import Project
from tests.support.gateway_lab import CLIENT_NETWORKS, CLIENTS, SERVER_NETWORKS, SERVERS, GatewayLab
from tests.support.gateway_traffic import SteadyFlows
from tests.support.lab import LAB
from tests.support.namespace import obstacle
from tests.support.waiting import DEADLINE

pytestmark = pytest.mark.docker

PIPELINE = """\
name: shop
build:
  args: {{BASE_IMAGE: "{base}"}}
deploy:
  target_group: web
  replicas: 3
  stop_grace: 5s
  cap_add: [NET_RAW, NET_ADMIN]
  devices: [/dev/net/tun]
  environment: {{BAD_TEXT: "{bad_text}"}}
balancer:
  target_groups:
    web:
      protocol: GENEVE
      health_check: {{protocol: HTTP, path: /, interval: 200ms}}
      deregistration_delay: {delay}
  load_balancers:
    inspection: {{type: gateway, listeners: [{{default_action: {{forward: web}}}}]}}
  endpoint_services:
    inspection: {{load_balancers: [inspection], acceptance_required: false}}
  endpoints:
    office:
      service: inspection
      networks:
        clients: {{namespace: /proc/{clients}/ns/net, addresses: [{client_networks}]}}
        servers: {{namespace: /proc/{servers}/ns/net, addresses: [{server_networks}]}}
"""
RATE = 200


@pytest.fixture
def lab() -> Iterator[GatewayLab]:
    """Clients and servers. The appliances are containers of this machine."""
    if reason := obstacle():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with closing(GatewayLab(appliances=0)) as opened:
        yield opened


def configure(project: Project, lab: GatewayLab, *, bad_text: str, delay: str = "5s") -> None:
    """Commit the appliance of the laboratory, with the text that it drops."""
    for name in ("appliance.py", "Dockerfile"):
        shutil.copy(LAB / "appliance" / name, project.directory / name)
    text = PIPELINE.format(
        base=project.base_image,
        bad_text=bad_text,
        delay=delay,
        clients=lab.clients.pid,
        servers=lab.servers.pid,
        client_networks=", ".join(f'"{each}"' for each in CLIENT_NETWORKS),
        server_networks=", ".join(f'"{each}"' for each in SERVER_NETWORKS),
    )
    project.write("pipeline.yaml", text)
    project.commit(bad_text)


@pytest.mark.long
def test_appliances_are_replaced_under_load(project: Project, lab: GatewayLab) -> None:
    """Of 200 new connections a second, each is answered. A connection that lasts passes a new appliance in the end."""
    configure(project, lab, bad_text="attack")
    project.pipeline("run")
    before = {each.id for each in project.containers()}
    with (
        closing(lab.client.open(SERVERS[0], CLIENTS[0], timeout=DEADLINE)) as lasting,
        SteadyFlows(lab.client, SERVERS, RATE) as flows,
    ):
        assert lasting.ask()
        configure(project, lab, bad_text="virus")
        project.pipeline("run")
        assert lasting.ask("still there?")
    assert (flows.outcome.lost, flows.outcome.wrong) == ([], [])
    assert len(flows.outcome.answered) > RATE
    assert not before & {each.id for each in project.containers()}
    with closing(lab.client.open(SERVERS[0], CLIENTS[0], timeout=0.5)) as dropped, pytest.raises(TimeoutError):
        dropped.ask("a virus")
    project.pipeline("down")
    assert docker("ps", "-aq", "--filter", f"label=penstock.home={project.home.id}") == ""
    assert len(lab.client.send("udp", SERVERS[:1], 2, timeout=0.1).lost) == 2
