"""Deployments of appliances into the target group of a gateway load balancer."""

from __future__ import annotations

import pytest

from pipeline.balancer.planes import open_balancer
from tests.docker.project import PIPELINE, Project

pytestmark = pytest.mark.docker


def test_appliances_are_rolled_out_and_replaced(project: Project) -> None:
    """Containers are registered at port 6081, are checked at their own port, and are replaced by the next release."""
    text = PIPELINE.format(name="shop", base=project.base_image, replicas=2, port=0)
    text = text.replace("port: 8080\n", "protocol: GENEVE\n").replace(
        "interval: 200ms", "port: 8080, protocol: HTTP, interval: 200ms"
    )
    head, _, _ = text.partition("    edge:\n")
    gateway = "    inspection: {type: gateway, listeners: [{default_action: {forward: web}}]}\n"
    project.write("pipeline.yaml", head + gateway)
    project.replicas = 2
    project.commit("1")
    assert "2 targets behind inspection" in project.pipeline("run").out
    project.assert_serving(release=1)
    assert {one.target.port for one in open_balancer(project.home.balancer).target_health("shop", "web")} == {6081}
    assert "inspection: all ports and protocols → web" in project.pipeline("status").out
    assert "gateway load balancer inspection" in project.pipeline("balancer").out
    project.commit("2")
    project.pipeline("run")
    project.assert_serving(release=2)
    project.pipeline("down")
    project.assert_gone()
