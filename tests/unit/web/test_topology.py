"""Pictures of load balancers, as text."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pipeline.balancer.alternate import Alternate, with_alternates
from pipeline.balancer.explanation import Question
from pipeline.balancer.model import Declaration
from pipeline.base.clock import SYSTEM
from pipeline.daemon.container_exits import ContainerExit
from pipeline.web.topology.box import line_width
from pipeline.web.topology.picture import RulesPicture, TargetsPicture
from pipeline.web.topology.shown_rules import page_count, page_of, shown_rules
from pipeline.web.topology.way import Way
from pipeline.web.topology.words import cut, cut_start, rate_text
from tests.support.balancer_world import EDGE, BalancerWorld

WEB = [f"shop.web.r1.{number}" for number in range(1, 4)]


@pytest.fixture
def world(tmp_path: Path) -> BalancerWorld:
    return BalancerWorld(tmp_path)


class Drawn:
    """A picture, and what is in it."""

    def __init__(self, world: BalancerWorld, url: str = "", page: int = 1, number: int = 0) -> None:
        report = world.live.report()
        self.balancer = report.load_balancers[number]
        way = Way.from_explanation(world.live.explanation(Question(url))) if url else None
        rules = RulesPicture(self.balancer, shown_rules(self.balancer, page), way).draw()
        self.targets = TargetsPicture(number, self.balancer, report, rules.ports, way).draw()
        self.markup = f"<div>{self.targets}{rules.svg}</div>"
        # Fails for SVG that is not well-formed.
        self.root = ElementTree.fromstring(self.markup)

    def boxes(self, kind: str) -> list[tuple[list[str], list[str]]]:
        """Return the classes and the lines of text of each box of a kind."""
        found = [each for each in self.root.iter("g") if each.get("class", "").split()[:1] == [kind]]
        return [(each.get("class", "").split(), [text.text or "" for text in each.iter("text")]) for each in found]

    def texts(self, kind: str) -> list[list[str]]:
        return [texts for _, texts in self.boxes(kind)]

    def lit(self, kind: str) -> list[str]:
        """Return the first lines of the boxes on the way."""
        return [texts[0] for classes, texts in self.boxes(kind) if "lit" in classes]

    def widths(self) -> list[float]:
        return [float(way.get("stroke-width", "")) for way in self.root.iter("path") if "way" in way.get("class", "")]


def test_the_way_from_the_load_balancer_to_the_targets(world: BalancerWorld) -> None:
    """Each has a box with its name, and rules and targets have their rates."""
    world.targets(*WEB[:2])
    world.requests(300, rule="50001", backend="shop.web", target="10.1.0.1:8080")
    drawn = Drawn(world)
    assert drawn.texts("balancer") == [["edge", "load balancer of shop"]]
    ((url, detail),) = drawn.texts("listener")
    assert url == "http://localhost:8080"
    assert re.fullmatch(r"HTTP 3\d\.\d/s", detail)
    assert [texts[1:] for texts in drawn.texts("rule")] == [
        ["10 path /api/*", "shop"],
        ["20 path /up", "shop, returns 204"],
        ["default all others", "shop"],
    ]
    assert [texts[0] for texts in drawn.texts("rule")][:2] == ["0/s", "0/s"]
    assert drawn.texts("group") == [["shop.api", "no targets"], ["shop.web", "2 healthy"]]
    first, second = drawn.texts("target")
    assert first[0] == WEB[0]
    assert re.fullmatch(r"healthy, 0 in flight, 3\d\.\d/s", first[2])
    assert second[2] == "healthy, 0 in flight, 0/s"


def test_lines_are_as_wide_as_their_rates(world: BalancerWorld) -> None:
    """On a logarithmic scale, within limits, and never without a width."""
    assert [round(line_width(rate), 1) for rate in (None, 0, 9, 99, 999, 10**9)] == [1, 1, 4.5, 7.5, 10.5, 12]
    world.targets(*WEB[:1])
    assert set(Drawn(world).widths()) == {1.0}
    world.requests(100, rule="50001", backend="shop.web", target="10.1.0.1:8080")
    # From the listener to the rule, from there to the group, and on to the target.
    assert len([width for width in Drawn(world).widths() if width > 4]) == 3


def test_a_state_is_a_shape_and_a_word(world: BalancerWorld) -> None:
    """No two states share a shape, and none is shown by its colour alone."""
    world.targets(*WEB)
    world.fail(WEB[0])
    world.balancer.deregister("shop", "web", WEB[1])
    world.exits[WEB[2]] = ContainerExit(137, SYSTEM.now())
    drawn = Drawn(world)
    unhealthy, draining, exited = (texts[-1] for texts in drawn.texts("target"))
    assert (unhealthy, exited) == ("unhealthy: Health checks failed: co…", "exited (137)")
    assert re.fullmatch(r"draining, 0 in flight, \d+ s left", draining)
    shapes = [each.find("path") for each in drawn.root.iter("svg") if "shape" in each.get("class", "")]
    assert len({shape.get("d") for shape in shapes if shape is not None}) == 2
    assert [classes[1] for classes, _ in drawn.boxes("target")] == ["bad", "leaving", "bad"]


def test_a_drain_has_a_bar(world: BalancerWorld) -> None:
    """As long as what is left of the delay. Other targets have none."""
    world.targets(*WEB)
    assert "drain-left" not in Drawn(world).markup
    world.balancer.deregister("shop", "web", WEB[0])
    bars = {each.get("class"): float(each.get("width", "")) for each in Drawn(world).root.iter("rect")}
    assert 0.9 * bars["drain-whole"] < bars["drain-left"] <= bars["drain-whole"]


def test_the_weights_of_a_deployment(world: BalancerWorld) -> None:
    """Are on the lines to both groups. The one that moves is marked."""
    world.declare(with_alternates(Declaration.model_validate(EDGE), {"web": Alternate(12.5)}).model_dump())
    labels = [
        (each.get("class"), each.text) for each in Drawn(world).root.iter("text") if "label" in each.get("class", "")
    ]
    assert labels == [
        ("label", "87.5 % 0/s"),
        ("label moving", "12.5 % 0/s"),
    ]


def test_the_way_of_a_request_is_lit(world: BalancerWorld) -> None:
    """From the listener to the targets that may get it. Everything else is not."""
    world.targets(*WEB)
    world.fail(WEB[1])
    drawn = Drawn(world, "http://x:8080/")
    assert drawn.lit("balancer") == ["edge"]
    assert drawn.lit("listener") == ["http://localhost:8080"]
    assert [texts[1] for classes, texts in drawn.boxes("rule") if "lit" in classes] == ["default all others"]
    assert drawn.lit("group") == ["shop.web"]
    assert drawn.lit("target") == [WEB[0], WEB[2]]
    ways = Counter(
        each.get("class", "").split()[-1] for each in drawn.root.iter("path") if "way" in each.get("class", "")
    )
    assert ways["lit"] == 4
    assert "lit" not in Drawn(world).markup.replace("split", "")


def test_a_rule_without_a_group_ends_the_way(world: BalancerWorld) -> None:
    """A response of the balancer itself lights no target group."""
    drawn = Drawn(world, "http://x:8080/up")
    assert [texts[1] for classes, texts in drawn.boxes("rule") if "lit" in classes] == ["20 path /up"]
    assert drawn.lit("group") == []


def test_verdicts_say_why(world: BalancerWorld) -> None:
    """Earlier rules have their reason, and later ones are not evaluated."""
    way = Way.from_explanation(world.live.explanation(Question("http://x:8080/up")))
    (balancer,) = world.live.report().load_balancers
    (listener,) = balancer.listeners
    assert [way.verdict(balancer, listener, rule) for rule in listener.rules] == [
        "does not match: path_pattern requires /api/*, but the path is /up",
        "matches: the request goes this way",
        "not evaluated: an earlier rule matches",
    ]


NETWORK: dict[str, Any] = {
    "target_groups": {"db": {"protocol": "TCP", "port": 5432}},
    "load_balancers": {
        "data": {
            "type": "network",
            "zones": {"zone-a": "127.0.0.11", "zone-b": "127.0.0.12"},
            "listeners": [{"protocol": "TCP", "port": 5432, "default_action": {"forward": "db"}}],
        }
    },
}


def test_the_nodes_of_a_network_load_balancer(world: BalancerWorld) -> None:
    """Have their zone, state and address. Targets have their zone and connections."""
    world.declare(NETWORK)
    world.targets("db-1", group="db", zone="zone-a")
    drawn = Drawn(world)
    assert drawn.texts("zone") == [["zone-a: healthy", "127.0.0.11"], ["zone-b: unhealthy", "127.0.0.12"]]
    assert drawn.texts("target") == [["db-1", "zone-a", "healthy, 0 connections"]]


def test_the_way_of_a_connection(world: BalancerWorld) -> None:
    """Ends at the targets with a share of it: those of the node's zone."""
    world.declare(NETWORK)
    world.targets("db-1", group="db", zone="zone-a")
    assert Drawn(world, "tcp://127.0.0.11:5432").lit("target") == ["db-1"]
    assert Drawn(world, "tcp://127.0.0.12:5432").lit("target") == []


def large(world: BalancerWorld, rules: int) -> None:
    """Declare many rules."""
    made = [
        {"priority": number, "conditions": [{"path_pattern": [f"/p{number}/*"]}], "action": {"forward": "api"}}
        for number in range(1, rules + 1)
    ]
    listener = {"port": 8080, "rules": made, "default_action": {"forward": "web"}}
    world.declare({**EDGE, "load_balancers": {"edge": {"listeners": [listener]}}})


def test_many_rules_are_shown_in_pages(world: BalancerWorld) -> None:
    """Those before and after are one box each, and the rule of a way chooses its page."""
    large(world, 150)
    first = Drawn(world)
    assert page_count(first.balancer) == 3
    assert len(first.texts("rule")) == 60
    assert first.texts("folded") == [["91 rules after these, 0/s"]]
    last = Drawn(world, page=3)
    assert last.texts("folded") == [["120 rules before these, 0/s"]]
    assert [texts[1] for texts in last.texts("rule")][-1] == "default all others"
    way = Way.from_explanation(world.live.explanation(Question("http://x:8080/p61/")))
    assert [page_of(first.balancer, each) for each in (None, way)] == [1, 2]


def test_many_targets_are_marks(world: BalancerWorld) -> None:
    """With their number by state, and a box for each that is not healthy."""
    names = [f"shop.web.r1.{number}" for number in range(1, 102)]
    world.targets(*names)
    world.fail(names[30])
    drawn = Drawn(world)
    assert [texts[0] for texts in drawn.texts("target")] == [names[30]]
    assert {"100 healthy", "1 unhealthy"} <= {each.text for each in drawn.root.iter("text")}
    marks = [each for group in drawn.root.iter("g") if group.get("class") == "marks" for each in group]
    assert sum(float(mark.get("width", "")) for mark in marks) == 101 * 10
    # The 31st mark is the sixth one of the second row.
    (bad,) = [mark for mark in marks if mark.get("fill") == "url(#mark-bad)"]
    assert (bad.get("x"), bad.get("y"), bad.get("width")) == ("50", "10", "10")


def test_a_thousand_targets_and_rules_stay_small(world: BalancerWorld) -> None:
    """What is sent for a change does not grow with their number."""
    large(world, 1000)
    world.targets(*(f"shop.web.r1.{number}" for number in range(1, 1001)))
    assert len(Drawn(world).markup) < 60_000


def test_hostile_text_stays_text(world: BalancerWorld) -> None:
    """What a declaration or a health check says cannot end an element or an attribute."""
    marker = "/<script>x</script>\"'&]]>"
    rule = {
        "priority": 1,
        "conditions": [{"path_pattern": {"regex_values": ["/<b>\"'&"]}}],
        "action": {"forward": "web"},
    }
    listener = {"port": 8080, "rules": [rule], "default_action": {"forward": "web"}}
    world.declare({**EDGE, "load_balancers": {"edge": {"listeners": [listener]}}})
    world.targets(*WEB)
    world.fail(WEB[0], text=marker)
    drawn = Drawn(world)
    assert "<script" not in drawn.markup
    assert "<b>" not in drawn.markup
    assert any(marker in "".join(each.itertext()) for each in drawn.root.iter("title"))


def test_the_picture_has_a_name_and_a_summary(world: BalancerWorld) -> None:
    """For those who hear it, under ids that no other picture has."""
    world.targets(*WEB)
    root, rules = Drawn(world).root
    assert rules.get("aria-hidden") == "true"
    assert root.get("role") == "img"
    named = {each.get("id"): each.text for each in root if each.tag in ("title", "desc")}
    assert root.get("aria-labelledby") == " ".join(filter(None, named))
    assert list(named.values()) == [
        "Load balancer edge of shop",
        "1 listener, 3 rules, 2 target groups. Targets: 3 healthy. The list that follows says the same.",
    ]


def test_texts_fit() -> None:
    """Long ones are cut where they differ least, and rates have few digits."""
    assert (cut("abcdef", 6), cut("abcdefg", 6), cut_start("abcdefg", 6)) == ("abcdef", "abcde…", "…cdefg")
    assert [rate_text(rate) for rate in (None, 0, 0.01, 0.25, 99.94, 12345.6)] == [
        "",
        "0/s",
        "<0.1/s",
        "0.2/s",
        "99.9/s",
        "12,346/s",
    ]
