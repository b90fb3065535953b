"""The page Topology as a browser gets it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest

from pipeline.engine.interfaces import ReplicaChange
from pipeline.web.assets import Assets
from pipeline.web.catalogue import Catalogue
from pipeline.web.page import ViewContext
from pipeline.web.templates import Templates
from pipeline.web.watched_view import WatchedView, parts_digest
from tests.support.balancer_world import EDGE, GUEST, BalancerWorld
from tests.support.web import Browser, WebServer, web_server

WEB = ["shop.web.r1.1", "shop.web.r1.2"]


@dataclass
class Served:
    world: BalancerWorld
    server: WebServer
    browser: Browser

    def part(self, name: str, path: str = "/topology") -> str:
        """Return the text of a part: its HTML without tags."""
        html = self.browser.get(path).part(name)
        end = re.search(r"\n</(?:section|div)>", html)
        assert end, name
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", html[: end.start()])).split())


@dataclass(eq=False)
class Watcher:
    """A page that has received `events`."""

    seen: int = 0
    is_idle: bool = True
    events: list[bytes] = field(default_factory=list)

    def send(self, event: bytes) -> None:
        self.events.append(event)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    world = BalancerWorld(tmp_path / "world")
    world.targets(*WEB)
    (tmp_path / "web").mkdir()
    with web_server(tmp_path / "web", balancer=world.balancer) as server:
        yield Served(world, server, server.browser())


def test_the_list_says_what_the_picture_shows(served: Served) -> None:
    """Rules with their effect and rate, and targets with state, place, work and reason."""
    served.world.fail(WEB[1])
    text = served.part("balancer-0")
    assert "rule 10 of shop: path /api/* → forwards to shop.api, 0/s" in text
    assert "default action of shop: all others → forwards to shop.web, 0/s" in text
    assert "Target group shop.web 1 healthy, 1 unhealthy" in text
    assert "healthy shop.web.r1.1, 10.1.0.1:8080: 0 in flight, 0/s" in text
    assert "unhealthy shop.web.r1.2, 10.1.0.2:8080: 0 in flight, 0/s. Health checks failed: connection refused" in text


def test_a_killed_target_is_told_at_once(served: Served) -> None:
    """The report of the engine reaches an open page before any health check fails."""
    with served.browser.follow(served.browser.live("/topology")) as events:
        served.server.exits.on_change(ReplicaChange("shop", WEB[0], 137))
        served.server.changed.send()
        message = next(events)
    assert re.search('hx-target="#(balancer|targets)-0"', message)
    assert "exited (137)" in message
    assert f"{WEB[0]} exited with code 137" in message
    assert "Targets: 1 exited, 1 healthy" in message


def test_a_drain_is_listed_with_what_is_left(served: Served) -> None:
    """Of its deregistration delay."""
    served.world.balancer.deregister("shop", "web", WEB[0])
    assert re.search(r"draining shop\.web\.r1\.1, .* \d+ s of 60 s left", served.part("balancer-0"))


def test_the_way_of_a_request(served: Served) -> None:
    """Is in a sentence, with the reason of each rule that does not match."""
    path = f"/topology?url={quote('http://x:8080/up')}"
    assert served.part("answer", path) == (
        "Port 8080 of load balancer edge of shop, rule 20: returns 204 "
        "Why the earlier rule does not match Rule 10: path_pattern requires /api/*, but the path is /up"
    )
    text = served.part("balancer-0", path)
    assert "does not match: path_pattern requires /api/*, but the path is /up" in text
    assert "matches: the request goes this way" in text


def test_the_box_takes_a_whole_request(served: Served) -> None:
    """With headers, a method and a source, and shows them again."""
    served.world.declare(GUEST, "ads")
    headers = quote("Host: ads.example.com\r\nX-A: b")
    page = served.browser.get(f"/topology?url={quote('http://x:8080/')}&headers={headers}&method=POST&source=192.0.2.1")
    assert "rule 5: to ads.ads" in page.part("answer")
    assert 'value="POST"' in page.text
    assert "Host: ads.example.com" in page.part("content")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("url=x", "x is not a valid URL http://shop.example.com:8080/path?key=value"),
        ("url=http://x:81", "no listener has port 81 declared: http://localhost:8080, load balancer edge of shop"),
        ("url=http://x:8080&headers=x", "header x: must have the form 'Name: value'"),
        ("url=http://x:8080&source=x", "source x: must be an IP address such as 192.0.2.7"),
        ("url=http://x:8080&method=a%20b", "method 'a b': must be a name such as GET or POST"),
    ],
)
def test_mistakes_in_the_box(served: Served, query: str, error: str) -> None:
    """Are told with what to write, and the load balancers are shown as always."""
    assert served.part("answer", f"/topology?{query}") == error
    assert "rule 10 of shop" in served.part("balancer-0", f"/topology?{query}")


@pytest.mark.parametrize("field", ["url", "headers", "method", "source", "rules"])
def test_what_is_typed_stays_text(served: Served, field: str) -> None:
    """Nothing that is typed becomes an element or an attribute."""
    marker = "\"'><script>marker</script>"
    url = "" if field == "url" else "url=http://x:8080&"
    html = served.browser.get(f"/topology?{url}{field}={quote(marker)}").text
    assert "<script>marker" not in html
    assert "\"'>" not in html


def test_a_long_request_is_cut(served: Served) -> None:
    """The page does not repeat it for each rule."""
    path = f"/topology?url={quote('http://x:8080/' + 'a' * 5000)}"
    assert "but the path is /aaa" in served.part("answer", path)
    assert len(served.part("answer", path)) < 1000


def test_pages_of_rules(served: Served) -> None:
    """Many rules have links to the next ones, which keep the request. A number that is too large means the first."""
    made = [
        {"priority": number, "conditions": [{"path_pattern": [f"/p{number}/*"]}], "action": {"forward": "api"}}
        for number in range(1, 100)
    ]
    listener = {"port": 8080, "rules": made, "default_action": {"forward": "web"}}
    served.world.declare({**EDGE, "load_balancers": {"edge": {"listeners": [listener]}}})
    page = served.browser.get("/topology?url=http://x:8080/p70/").part("balancer-0")
    (link,) = re.findall(r'href="([^"]*)" rel="prev"', page)
    assert "Page 2 of 2" in page
    assert "rules=1" in link
    assert "url=http" in link
    assert "Page 1 of 2" in served.part("balancer-0", unescape(link))
    assert "Page 1 of 2" in served.part("balancer-0", "/topology?rules=9")


def test_a_move_among_a_thousand_targets_sends_small_parts(served: Served) -> None:
    """Not the rules, and not the targets that have not changed."""
    rules = [
        {"priority": number, "conditions": [{"path_pattern": [f"/p{number}/*"]}], "action": {"forward": "web"}}
        for number in range(1, 1001)
    ]
    listener = {"port": 8080, "rules": rules, "default_action": {"forward": "web"}}
    served.world.declare({**EDGE, "load_balancers": {"edge": {"listeners": [listener]}}})
    served.world.targets(*(f"shop.web.r1.{number}" for number in range(1, 1001)))
    catalogue = Catalogue.load()
    page = catalogue.page("topology")
    assert page
    context = ViewContext(served.server.reports, {}, True, Templates(Assets(), catalogue.loader))
    view, watcher = WatchedView(), Watcher()
    before = page.view(context)
    view.update(before)
    view.add(watcher, parts_digest(before))
    served.world.balancer.deregister("shop", "web", "shop.web.r1.500")
    view.update(page.view(context))
    (event,) = watcher.events
    assert set(re.findall(rb'hx-target="#([^"]*)"', event)) == {b"news", b"targets-0", b"groups-0"}
    assert b"shop.web.r1.500" in event
    assert len(event) < 16_000 < len(before["balancer-0"])


def test_other_load_balancers_appear_on_an_open_page(served: Served) -> None:
    """The page has a place for each that may come, since a part of a page cannot make one."""
    net = {
        "target_groups": {"db": {"protocol": "TCP", "port": 80}},
        "load_balancers": {
            "data": {
                "type": "network",
                "listeners": [{"protocol": "TCP", "port": 5432, "default_action": {"forward": "db"}}],
            }
        },
    }
    assert served.browser.get("/topology").text.count('<section id="balancer-1" hidden>') == 1
    with served.browser.follow(served.browser.live("/topology")) as events:
        served.world.declare(net, "data")
        served.server.changed.send()
        changed = set[str]()
        # If the stream begins after the change, its first event has all parts. One in the middle of it has fewer.
        while not changed >= {"balancer-0", "balancer-1"}:
            changed |= set(re.findall(r'hx-target="#(balancer[^"]*)"', next(events)))


def test_groups_without_a_listener(served: Served) -> None:
    """Are listed with their targets."""
    listener = {"port": 8080, "default_action": {"fixed_response": {"status_code": 404}}}
    served.world.declare({**EDGE, "load_balancers": {"edge": {"listeners": [listener]}}})
    text = served.part("unused")
    assert "Target group shop.web 2 unused" in text
    assert WEB[0] in text


def test_nothing_is_declared(served: Served) -> None:
    """The page says so."""
    served.world.balancer.withdraw("shop")
    assert "No load balancer is declared." in served.browser.get("/topology").text


def test_the_first_page_is_small(served: Served) -> None:
    """With twenty targets, what the browser loads first is a fraction of what it may be."""
    served.world.targets(*(f"shop.web.r1.{number}" for number in range(1, 21)))
    page = served.browser.get("/topology", Accept_Encoding="gzip")
    assert len(page.body) < 20_000
