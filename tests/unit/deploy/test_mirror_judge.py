"""The judge of a new release that gets copies of requests."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.alarms.alarms import Alarms
from pipeline.alarms.histogram import Histogram
from pipeline.alarms.rollback_on import RollbackOn
from pipeline.alarms.window import ReleaseWindow
from pipeline.balancer.access import LoggedRequest
from pipeline.balancer.model import Target, TargetHealth, TargetState
from pipeline.base.clock import Stamp
from pipeline.config.mirror import Mirror
from pipeline.events import Event, Events
from pipeline.testing.fakes.access_log import FakeAccessLog
from pipeline.testing.fakes.clock import FakeClock
from stages.deploy.alarm_events import AlarmEvents
from stages.deploy.judge import Judgement
from stages.deploy.mirror_client import CopyOutcome, MirrorClient
from stages.deploy.mirror_judge import MirrorJudge, mirror_conditions
from stages.deploy.mirror_traffic import CopyPair, MirrorTraffic
from stages.deploy.paired_targets import PairedHealth

START = datetime(2030, 3, 17, tzinfo=UTC)
GET = LoggedRequest("GET", "/", "shop.example.com", None, "192.0.2.7", 8080, False)
GOOD, BAD = CopyOutcome(200, 0.01), CopyOutcome(500, 0.01)
SLOW = CopyOutcome(200, 0.05)
ALL = Mirror(percent=100)


class Traffic(MirrorTraffic):
    """Keeps what is sent, and has the pairs that a test puts into it."""

    def __init__(self) -> None:
        super().__init__(lambda: MirrorClient(timedelta(seconds=1)), 1, 1)
        self.sent: list[tuple[int, list[str], list[str]]] = []
        self.pairs: list[CopyPair] = []
        self.stopped = False

    def send(
        self, requests: Sequence[LoggedRequest], new: Sequence[Target], previous: Sequence[Target], seconds: float
    ) -> int:
        assert seconds == 1.0
        self.sent.append((len(requests), [t.id for t in new], [t.id for t in previous]))
        return len(requests)

    def finished(self) -> list[CopyPair]:
        found, self.pairs = self.pairs, []
        return found

    def stop(self) -> None:
        self.stopped = True


class World:
    """A judge with its surroundings. `states` are those of the targets."""

    def __init__(self, settings: Mirror = ALL, rollback_on: object = None) -> None:
        self.clock = FakeClock(START)
        self.log = FakeAccessLog([])
        self.traffic = Traffic()
        self.states = {"new1": TargetState.HEALTHY, "old1": TargetState.HEALTHY}
        self.events: list[Event] = []
        events = Events("shop", 1)
        events.subscribe(self.events.append)
        conditions = mirror_conditions(RollbackOn.model_validate(rollback_on) if rollback_on else None)
        self.judge = MirrorJudge(
            settings,
            conditions,
            self.log,
            "shop.web",
            self.traffic,
            self.health,
            clock=self.clock,
            events=AlarmEvents(events, self.clock, "web", 5),
        )

    def health(self) -> PairedHealth:
        def of(prefix: str) -> dict[str, TargetHealth]:
            return {n: _health(n, s) for n, s in self.states.items() if n.startswith(prefix)}

        return PairedHealth(home=of("old"), alternate=of("new"))

    def requests(self, count: int, group: str = "shop.web") -> None:
        """Let requests end."""
        self.log.gets += [(group, GET)] * count

    def look(self, *pairs: CopyPair, seconds: float = 1) -> Judgement:
        """Look after some seconds, in which these copies have ended."""
        self.clock.advance(timedelta(seconds=seconds))
        self.traffic.pairs += pairs
        return self.judge.look()


def _health(name: str, state: TargetState) -> TargetHealth:
    target = Target(id=name, address="127.0.0.1", port=80)
    return TargetHealth(target=target, state=state, since=Stamp(START, "boot", 0.0))


def texts(found: Judgement) -> list[str]:
    return [f"{verdict.state} {verdict.text}" for verdict in found.verdicts]


def test_requests_are_copied_from_the_first_look_on() -> None:
    """Earlier ones of the log are not, and neither are those to other target groups."""
    world = World()
    world.requests(3)
    world.look()
    world.requests(2)
    world.requests(2, "shop.web-next")
    world.look()
    assert world.traffic.sent == [(2, ["new1"], ["old1"])]


def test_only_healthy_targets_get_copies() -> None:
    """Without a healthy target of each release, nothing is copied, and nothing is made up for later."""
    world = World()
    world.look()
    for state, name in ((TargetState.DRAINING, "old1"), (TargetState.UNHEALTHY, "new1")):
        before, world.states[name] = world.states[name], state
        world.requests(2)
        world.look()
        world.states[name] = before
    world.states["new2"] = TargetState.INITIAL
    world.requests(1)
    world.look()
    assert world.traffic.sent == [(1, ["new1"], ["old1"])]


def test_the_rate_is_limited() -> None:
    """A look that comes late makes up for one second at most."""
    world = World(Mirror(percent=100, max_requests_per_second=5))
    world.look()
    for seconds in (1.0, 0.4, 60.0):
        world.requests(100)
        world.look(seconds=seconds)
    assert [count for count, _, _ in world.traffic.sent] == [5, 2, 5]


def test_the_share_is_that_of_the_settings() -> None:
    """A tenth of the requests is copied. A binomial count is as far off once in 10**9 runs."""
    world = World(Mirror(percent=10, max_requests_per_second=1000))
    world.look()
    for _ in range(10):
        world.requests(1000)
        world.look()
    assert 820 <= sum(count for count, _, _ in world.traffic.sent) <= 1190


def test_a_release_that_answers_copies_with_500s() -> None:
    """It is found without `rollback_on`, and an alarm stays."""
    world = World()
    world.look()
    found = [world.look(*[CopyPair(BAD, GOOD)] * 10) for _ in range(3)]
    assert found[0].alarm is None
    assert found[-1].alarm is not None
    assert found[-1].alarm.startswith("alarm: copies: http_5xx_ratio worse_than_previous: 100.0% (")
    assert world.look(*[CopyPair(GOOD, BAD)] * 200).alarm == found[-1].alarm


def test_no_response_counts_as_the_balancer_would_answer() -> None:
    """A copy that no target answers, or that reaches none, is one with 5XX."""
    world = World()
    world.look()
    for _ in range(3):
        found = world.look(*[CopyPair(CopyOutcome(), GOOD), CopyPair(CopyOutcome(is_connected=False), GOOD)] * 5)
    assert found.alarm is not None


@pytest.mark.parametrize("outcome", [BAD, CopyOutcome(404, 0.01), CopyOutcome(), SLOW])
def test_what_both_releases_do_is_no_alarm(outcome: CopyOutcome) -> None:
    """A copy has no cookies, so both may refuse it. A database that is away fails both."""
    world = World(rollback_on=[{"metric": "response_time", "worse_than_previous": True}])
    world.look()
    for _ in range(60):
        found = world.look(*[CopyPair(outcome, outcome)] * 10)
    assert found.alarm is None


TIMES = {"conditions": [{"metric": "response_time", "worse_than_previous": True}], "warm_up": "0s"}


def one(seconds: float) -> ReleaseWindow:
    """Return the window of one copy."""
    return ReleaseWindow(requests=1, response_times=Histogram.from_times([seconds]))


def test_what_one_copy_does_to_the_other_is_no_evidence() -> None:
    """The first copy fills a cache, so exactly one of both is slow, at random. Few such deployments have an alarm."""
    settings = RollbackOn.model_validate({**TIMES, "confidence": "90%"})
    source, raised = random.Random(16), 0
    for _ in range(60):
        alarms = Alarms(settings, are_pairs=True)
        states = set()
        for number in range(400):
            new, previous = source.sample((0.01, 0.1), 2)
            alarms.add(one(new), one(previous))
            if number % 10 == 9:
                states.add(alarms.verdicts()[0].state)
        raised += "ALARM" in states
    assert raised <= 6


def test_requests_of_different_costs_are_no_noise() -> None:
    """A release that is 20 % slower at each request is found, although requests differ by a factor of a hundred."""
    source, settings = random.Random(16), RollbackOn.model_validate(TIMES)
    pairs, joined = Alarms(settings, are_pairs=True), Alarms(settings)
    for _ in range(600):
        cost = 0.02 * source.lognormvariate(0, 1.5)
        for alarms in (pairs, joined):
            alarms.add(one(1.2 * cost), one(cost))
    assert pairs.verdicts()[0].state == "ALARM"
    assert joined.verdicts()[0].state == "OK"


def test_too_few_requests_decide_nothing() -> None:
    """Also if the service wants enough of them at the end of its bake time."""
    world = World(rollback_on={"conditions": [{"metric": "restarts", "above": 0}], "insufficient_data": "rollback"})
    world.look()
    found = world.look(*[CopyPair(BAD, GOOD)] * 3)
    assert (found.alarm, found.insufficient_data) == (None, "promote")
    assert texts(found) == [
        "INSUFFICIENT_DATA copies: http_5xx_ratio worse_than_previous: 100.0% (3 of 3 requests) against 0.0% (0 of 3 "
        "requests), 17 more requests are needed",
        "OK copies: class of status differs in 100.0% (3 of 3 requests), p50 10.1ms against 10.1ms, "
        "p99 10.1ms against 10.1ms",
    ]


def test_another_class_of_status_is_shown() -> None:
    """It rolls nothing back, because a copy has no cookies."""
    world = World()
    world.look()
    for _ in range(20):
        found = world.look(*[CopyPair(CopyOutcome(404, 0.01), GOOD)] * 10)
    assert found.alarm is None
    assert world.judge.summary().startswith("class of status differs in 100.0% (200 of 200 requests), p50 ")


def test_without_copies() -> None:
    """The summary says so."""
    assert World().judge.summary() == "no request was copied"


def test_the_conditions_of_the_service() -> None:
    """Response times are compared after the warm-up, with its confidence."""
    world = World(rollback_on={"conditions": [{"metric": "response_time", "slower_by": "10%"}], "warm_up": "10s"})
    world.look()
    for _ in range(9):
        found = world.look(*[CopyPair(SLOW, GOOD)] * 20)
    assert found.alarm is None
    for _ in range(9):
        found = world.look(*[CopyPair(SLOW, GOOD)] * 20)
    assert found.alarm is not None
    assert found.alarm.startswith("alarm: copies: response_time slower_by 10%: ")


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ([{"metric": "restarts", "above": 0}], ["http_5xx_ratio"]),
        ([{"command": ["./check.sh"]}, {"metric": "p99", "above": "1s"}], ["p99", "http_5xx_ratio"]),
        ([{"metric": "elb_5xx_ratio", "above": "1%"}], ["elb_5xx_ratio", "http_5xx_ratio"]),
        ([{"metric": "target_5xx_ratio", "worse_by": "1%"}], ["target_5xx_ratio"]),
    ],
)
def test_which_conditions_count(conditions: list[object], kept: list[str]) -> None:
    """Those on ratios and response times, and one on 5XX in any case."""
    found = mirror_conditions(RollbackOn.model_validate({"conditions": conditions, "confidence": "95%"}))
    assert [getattr(each, "metric", None) for each in found.conditions] == kept
    assert found.confidence == 0.95
    assert found.threshold == pytest.approx(len(kept) / 0.05)


def test_events() -> None:
    """Each condition has its event, and so has the comparison."""
    world = World()
    world.look()
    world.look(*[CopyPair(GOOD, GOOD)] * 40)
    shown = [event.message for event in world.events]
    assert shown[1] == "alarm of web: OK, copies: no request was copied"
    expected = "alarm of web: OK, copies: http_5xx_ratio worse_than_previous: 0.0% (0 of 40 requests) against 0.0% ("
    assert shown[2].startswith(expected)
    assert {event.kind for event in world.events} == {"alarm.evaluated"}


def test_stop() -> None:
    """The traffic ends with the judge."""
    world = World()
    world.judge.stop()
    assert world.traffic.stopped
