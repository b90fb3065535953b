"""The balancer's report for programs, from a fake data plane."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.balancer.alternate import Alternate, with_alternates
from pipeline.balancer.data_plane import CheckFact
from pipeline.balancer.explanation import Question
from pipeline.balancer.model import Declaration
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError
from pipeline.daemon.container_exits import ContainerExit
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.host import HostSpec
from tests.support.balancer_world import EDGE, GUEST, BalancerWorld


@pytest.fixture
def world(tmp_path: Path) -> BalancerWorld:
    return BalancerWorld(tmp_path)


def test_rates_of_rules_and_targets(world: BalancerWorld) -> None:
    """Each request counts for its rule, for the way to its group, and for its target."""
    world.targets("web-1", "web-2")
    world.requests(20, rule="50001", backend="shop.web", target="10.1.0.1:8080")
    world.requests(10, rule="20", backend="listener.8080.20", target="-:-", server="<NOSRV>", target_status="-")
    report = world.live.report()
    first, own, default = report.load_balancers[0].listeners[0].rules
    assert (first.requests_per_second, first.target_groups[0].requests_per_second) == (0, 0)
    assert own.requests_per_second == pytest.approx(10 / report.seconds, abs=0.001)
    assert default.requests_per_second == default.target_groups[0].requests_per_second
    assert default.requests_per_second == pytest.approx(20 / report.seconds, abs=0.001)
    assert [world.target(name, report).requests_per_second for name in ("web-1", "web-2")] == [
        default.requests_per_second,
        0,
    ]


def test_a_drain_tells_what_is_left(world: BalancerWorld) -> None:
    """Its delay is that of the group. What is left never exceeds it, and ends at nothing."""
    world.targets("web-1", "web-2")
    assert world.target("web-1").draining is None
    world.balancer.deregister("shop", "web", "web-1")
    found = world.target("web-1")
    assert found.state == "draining"
    assert found.draining is not None
    assert found.draining.delay == 60
    assert 50 < found.draining.left <= 60
    assert found.draining.since == found.since


def test_the_exit_of_a_container(world: BalancerWorld) -> None:
    """Is told of its target while it is down, and for a while in the list of exits."""
    world.targets("web-1")
    at = SYSTEM.now()
    world.exits["web-1"] = ContainerExit(137, at)
    report = world.live.report()
    found = world.target("web-1", report).exited
    assert found is not None
    assert (found.container, found.exit_code, found.at, found.is_down) == ("web-1", 137, at.wall, True)
    assert list(report.exits) == [found]
    world.exits["web-1"] = ContainerExit(137, at, is_down=False)
    report = world.live.report()
    assert world.target("web-1", report).exited is None
    assert [one.is_down for one in report.exits] == [False]


def test_a_deployment_that_moves_its_traffic(world: BalancerWorld) -> None:
    """The share of the alternate group is that of the step, and it is known as such."""
    world.declare(with_alternates(Declaration.model_validate(EDGE), {"web": Alternate(12.5)}).model_dump())
    *_, default = world.rules()
    assert [(each.target_group, each.share, each.alternate_of) for each in default.target_groups] == [
        ("shop.web", 87.5, None),
        ("shop.web-next", 12.5, "shop.web"),
    ]
    assert default.effect == "forwards to shop.web (87.5 %), shop.web-next (12.5 %)"


def test_the_part_of_a_pipeline(world: BalancerWorld) -> None:
    """Has its rules in the listeners of others, its groups, and nothing else."""
    world.declare(GUEST, "ads")
    world.targets("web-1")
    world.exits = {"ads.ads.r1.1": ContainerExit(1, SYSTEM.now()), "shop.web.r1.1": ContainerExit(1, SYSTEM.now())}
    found = world.live.report("ads")
    assert [(b.owner, b.name) for b in found.load_balancers] == [("shop", "edge")]
    assert [rule.priority for rule in found.load_balancers[0].listeners[0].rules] == [5]
    assert list(found.target_groups) == ["ads.ads"]
    assert [one.container for one in found.exits] == ["ads.ads.r1.1"]
    assert [rule.priority for rule in world.live.report("shop").load_balancers[0].listeners[0].rules] == [
        10,
        20,
        "default",
    ]
    assert world.live.report("other").load_balancers == []


def test_hosts_of_targets(world: BalancerWorld) -> None:
    """A target is on the host with its address, in pipelines with several hosts."""
    world.targets("shop.web.r1.1", "shop.web.r1.2")
    assert world.live.report().hosts == {}
    world.clusters["shop"] = ClusterSpec(hosts=(ClusterHost(HostSpec("app1", "ssh://app1", address="10.1.0.1")),))
    assert world.live.report().hosts == {"shop.web.r1.1": "app1"}
    assert world.live.report("ads").hosts == {}


def test_all_groups_are_observed_at_once(world: BalancerWorld) -> None:
    """The number of groups does not matter, and the health is that of each group."""
    world.targets("web-1")
    world.targets("api-1", group="api")
    world.plane.answer_checks("api-1", CheckFact("failed", text="refused"))
    world.plane.run_checks()
    before = world.plane.calls["observe"]
    found = world.balancer.all_target_health()
    assert world.plane.calls["observe"] == before + 1
    for group in ("web", "api"):
        assert found["shop", group] == world.balancer.target_health("shop", group)
    assert [one.state for one in found["shop", "api"]] == ["unhealthy"]


def test_the_explanation_of_a_request(world: BalancerWorld) -> None:
    """The endpoint gives what the command prints."""
    found = world.live.explanation(Question("http://x:8080/up")).as_data()
    assert found["priority"] == 20
    assert found["effect"] == "returns 204"
    assert found["misses"] == [
        {"priority": 10, "owner": "shop", "reason": "path_pattern requires /api/*, but the path is /up"}
    ]


def test_expressions_that_would_stop_the_daemon(world: BalancerWorld) -> None:
    """Are not evaluated there. Those whose work is small are."""
    rules = [
        {
            "priority": number,
            "conditions": [{"path_pattern": {"regex_values": ["(a+)+b"]}}],
            "action": {"forward": "api"},
        }
        for number in range(1, 4)
    ]
    listener = {"port": 8080, "rules": rules, "default_action": {"forward": "web"}}
    world.declare({**EDGE, "load_balancers": {"edge": {"listeners": [listener]}}})
    assert world.live.explanation(Question("http://x:8080/aaaa")).as_data()["priority"] == "default"
    with pytest.raises(ConfigError) as refused:
        world.live.explanation(Question("http://x:8080/aaaaaaaaaaaaaaaaaaaa"))
    assert refused.value.message == "the rules on port 8080 take too long to evaluate for this request"
    assert refused.value.hint == "`pipeline balancer explain` evaluates them outside of the daemon"


def test_a_request_that_is_too_long_for_the_rules(world: BalancerWorld) -> None:
    """Patterns with wildcards take time for each character. A usual request is evaluated, whatever their number."""
    rules = [
        {"priority": number, "conditions": [{"path_pattern": ["*a?b*c"]}], "action": {"forward": "api"}}
        for number in range(1, 501)
    ]
    listener = {"port": 8080, "rules": rules, "default_action": {"forward": "web"}}
    world.declare({**EDGE, "load_balancers": {"edge": {"listeners": [listener]}}})
    assert world.live.explanation(Question("http://x:8080/" + "a" * 100)).as_data()["priority"] == "default"
    with pytest.raises(ConfigError, match="take too long"):
        world.live.explanation(Question("http://x:8080/" + "a" * 10_000))


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question("x"), "x is not a valid URL"),
        (Question("ftp://x:8080"), "ftp://x:8080 is not a valid URL"),
        (Question("http://x:0"), "http://x:0 is not a valid URL"),
        (Question("http://[::1"), "http://[::1 is not a valid URL"),
        (Question("http://x"), "no listener has port 80"),
        (Question("http://x:8080", "GET /"), "method 'GET /': must be a name such as GET or POST"),
        (Question("http://x:8080", ""), "method '': must be a name such as GET or POST"),
        (Question("http://x:8080", headers=("Host",)), "header Host: must have the form 'Name: value'"),
        (Question("http://x:8080", headers=(": x",)), "header : x: must have the form 'Name: value'"),
        (Question("http://x:8080", source="x"), "source x: must be an IP address such as 192.0.2.7"),
        (Question("tcp://x:8080"), "no network load balancer accepts TCP at x:8080"),
    ],
)
def test_invalid_questions(world: BalancerWorld, question: Question, message: str) -> None:
    """The error names the part that is invalid."""
    with pytest.raises(ConfigError) as refused:
        world.live.explanation(question)
    assert refused.value.message == message
