"""Endpoints of gateway load balancers by the control API and by commands, and their events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import FlowCounts
from pipeline.base.errors import PenstockError
from pipeline.base.home import Home
from pipeline.base.sockets import private_socket
from pipeline.daemon.control import Control
from pipeline.daemon.endpoint_control import EndpointControl
from pipeline.http.api import ControlApi
from pipeline.http.client import Client
from pipeline.http.serving import control_config, http_server
from pipeline.store.store import Store
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.endpoints import consumer, provider
from tests.support.reports import reports_of

_PLACE = "/v1/balancer/endpoints"


@dataclass
class Daemon:
    """A daemon with an endpoint that waits for acceptance."""

    plane: FakePlane
    store: Store
    client: Client
    balancer: Balancer

    def act(self, name: str, action: str) -> Any:
        """Accept or reject an endpoint."""
        return self.client.ask("POST", f"{_PLACE}/{name}/{action}", {"by": "ann"})

    def only(self) -> dict[str, Any]:
        """Return the only endpoint."""
        (found,) = self.client.ask("GET", _PLACE)
        return dict(found)

    def events(self, pipeline: str) -> list[tuple[str, str, dict[str, Any]]]:
        """Return the events of a pipeline."""
        return [(each.kind, each.message, dict(each.fields)) for each in self.store.events.latest(pipeline)]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    plane, home = FakePlane(), Home.locate({"PENSTOCK_HOME": str(tmp_path)})
    balancer = Balancer(home.balancer, plane)
    balancer.apply("firewall", provider(required=True))
    balancer.apply("shop", consumer())
    with Store(home.database) as store:
        endpoints = EndpointControl(balancer, store.events.record)
        app = ControlApi(reports_of(home, Control({}, store), endpoints=endpoints)).app()
        with http_server(lambda: control_config(app), private_socket(tmp_path / "socket")):
            yield Daemon(plane, store, Client(tmp_path / "socket"), balancer)


def test_an_endpoint_with_its_networks(daemon: Daemon) -> None:
    """Says why it carries no packets, and why a network is not attached."""
    found = daemon.only()
    assert {key: found[key] for key in ("name", "owner", "service", "load_balancer", "state", "reason", "zone")} == {
        "name": "office",
        "owner": "shop",
        "service": "firewall/inspection",
        "load_balancer": "inspection.firewall",
        "state": "pendingAcceptance",
        "reason": "the owner of its service has not accepted it",
        "zone": None,
    }
    daemon.plane.faults[found["id"], "clients"] = "there is no network namespace /run/netns/lab"
    assert [(each["name"], each["kind"], each["place"], each["fault"]) for each in daemon.only()["networks"]] == [
        ("clients", "namespace", "lab", "there is no network namespace /run/netns/lab"),
        ("apps", "docker_network", "inspected", ""),
    ]


def test_counts_are_those_of_all_processes(daemon: Daemon) -> None:
    """The counts of one endpoint are summed."""
    endpoint = daemon.only()["id"]
    for source in ("a", "b"):
        counts = {"active": 2, "new": 3, "bytes": 10}
        daemon.plane.flows.append(FlowCounts(source, "firewall", "inspection", 0, counts, endpoint=endpoint))
    assert daemon.only()["counts"] == {"active": 4, "new": 6, "bytes": 20}


def test_an_endpoint_is_accepted_and_rejected_by_a_user(daemon: Daemon) -> None:
    """Both pipelines have an event that names the user. A repetition changes nothing and emits nothing."""
    endpoint = daemon.only()["id"]
    assert daemon.act("office.shop", "accept") == {"effect": "endpoint office.shop is accepted"}
    assert daemon.act(endpoint, "accept") == {"effect": "endpoint office.shop is accepted already"}
    assert (daemon.only()["state"], daemon.only()["reason"]) == ("available", "")
    assert daemon.act("office", "reject") == {"effect": "endpoint office.shop is rejected"}
    assert daemon.only()["state"] == "rejected"
    fields = {"endpoint": endpoint, "service": "firewall/inspection", "by": "ann"}
    assert daemon.events("firewall") == [
        ("endpoint.accepted", "endpoint office of shop accepted (by ann)", fields),
        ("endpoint.rejected", "endpoint office of shop rejected (by ann)", fields),
    ]
    assert daemon.events("shop") == daemon.events("firewall")


def test_unknown_endpoints_are_refused(daemon: Daemon) -> None:
    """With the declared ones."""
    with pytest.raises(PenstockError, match="endpoint offices is not declared"):
        daemon.act("offices", "accept")
    daemon.balancer.withdraw("firewall")
    with pytest.raises(PenstockError, match="waits for endpoint service inspection of firewall"):
        daemon.act("office", "accept")
    daemon.balancer.withdraw("shop")
    assert daemon.client.ask("GET", _PLACE) == []
