"""Copies of requests from the settings of a service to the responses of its containers."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pipeline.api import StageContext
from pipeline.balancer.access import LoggedRequest
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.haproxy.configuration import render
from pipeline.balancer.haproxy.self_signed import self_signed
from pipeline.balancer.model import Declaration, TargetHealth, TargetState
from pipeline.balancer.registry import Registry
from pipeline.balancer.wanted import plane_config
from pipeline.base.clock import Stamp
from pipeline.config.load import load
from pipeline.config.service_spec import ServiceSpec
from pipeline.events import Events
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.data_plane import FakePlane
from stages.deploy.alternate_group import with_coming_alternates
from stages.deploy.judge import Mirroring
from stages.deploy.mirroring import Mirrorings
from stages.deploy.paired_targets import PairedHealth
from tests.support.loopback import LoopbackServer
from tests.support.waiting import until

START = datetime(2030, 3, 17, tzinfo=UTC)
FILE = """\
name: shop
deploy: {{target_group: web, strategy: {{type: blue_green{mirror}}}}}
balancer:
  target_groups: {{web: {{port: 8080, protocol: {protocol}}}}}
  load_balancers: {{edge: {{listeners: [{{port: 8000, default_action: {{forward: web}}}}]}}}}
"""
MIRROR = ", mirror: {percent: 100, duration: 1m, max_concurrency: 4}"
GET = LoggedRequest("GET", "/cart", "shop.example.com", "curl/8.5", "192.0.2.7", 8000, False)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        with self.server.counting:
            self.server.copies += self.headers["X-Penstock-Mirror"] == "1" and self.path == "/cart"
        self.send_response(self.server.health)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


class Server(LoopbackServer):
    handler = Handler

    def __init__(self, name: str) -> None:
        self.copies = 0
        super().__init__(name)

    @property
    def group(self) -> dict[str, TargetHealth]:
        """The health of the target group that has this target alone."""
        health = TargetHealth(target=self.target, state=TargetState.HEALTHY, since=Stamp(START, "boot", 0.0))
        return {self.name: health}


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    """A container of the new release and one of the previous release."""
    found = Server("shop.web.r5.0a1b2c"), Server("shop.web.r4.0a1b2c")
    yield found
    for server in found:
        server.end()


class World:
    """The pipeline `shop` with a mirroring of its release 5."""

    def __init__(self, context: StageContext, new: Server, previous: Server, protocol: str = "HTTP") -> None:
        file = context.home.root / "pipeline.yaml"
        file.write_text(FILE.format(mirror=MIRROR, protocol=protocol))
        self.clock, self.plane = FakeClock(START), FakePlane()
        context = replace(context, configuration=load(file), clock=self.clock, events=Events("shop", 1))
        configured = context.configuration.pipeline
        assert isinstance(configured.balancer, Declaration)
        spec = ServiceSpec("web", "sha256:5", configured.deploy.settings, configured.balancer.target_groups["web"])
        health = PairedHealth(home=previous.group, alternate=new.group)
        balancer = Balancer(context.home.balancer, self.plane)
        self.mirroring: Mirroring = Mirrorings(context, balancer)(spec, 5, lambda: health)
        self.mirroring.look()

    def serve(self, count: int) -> str | None:
        """Let requests end, and return the alarm at the next look."""
        self.plane.gets += [("shop.web", GET)] * count
        self.clock.advance(timedelta(seconds=1))
        return self.mirroring.look().alarm


def test_a_release_that_answers_with_500(context: StageContext, servers: tuple[Server, Server]) -> None:
    """Its copies raise the alarm. Both releases have got the same requests, which are marked."""
    new, previous = servers
    new.health = 500
    world = World(context, new, previous)
    try:
        until(lambda: world.serve(10) is not None, "the alarm")
    finally:
        world.mirroring.stop()
    assert "http_5xx_ratio worse_than_previous: 100.0% (" in (world.serve(0) or "")
    assert min(new.copies, previous.copies) >= 20


def test_targets_with_https(context: StageContext, servers: tuple[Server, Server], tmp_path: Path) -> None:
    """As with the balancer, their certificates are not verified."""
    new, previous = servers
    pem = tmp_path / "self-signed.pem"
    pem.write_text(self_signed(["shop.example.com"]))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    for server in servers:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    world = World(context, new, previous, protocol="HTTPS")
    try:
        until(lambda: world.serve(5) is None and "0.0% (" in world.mirroring.summary(), "copies over TLS")
    finally:
        world.mirroring.stop()
    assert new.copies
    assert previous.copies


def test_the_balancer_is_not_changed(tmp_path: Path) -> None:
    """HAProxy has the same configuration with and without a mirror, so a request costs it the same."""
    found = []
    for mirror in ("", MIRROR):
        file = tmp_path / "pipeline.yaml"
        file.write_text(FILE.format(mirror=mirror, protocol="HTTP"))
        configured = load(file).pipeline
        assert isinstance(configured.balancer, Declaration)
        declared = with_coming_alternates(configured.balancer, configured.deploy.all_services())
        assert "web-next" in declared.target_groups
        found.append(render(plane_config(Registry().declare("shop", declared))))
    assert found[0] == found[1]
