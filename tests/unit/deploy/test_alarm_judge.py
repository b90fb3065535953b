"""The judge of a new release: alarms from the access log, HAProxy and Docker, and the events that tell of them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alarms.decision import decide
from pipeline.alarms.probe_alarm import Measurement
from pipeline.alarms.rollback_on import RollbackOn
from pipeline.balancer.access import AccessLog, ForwardedRequest
from pipeline.balancer.haproxy.access_log import HAProxyAccessLog
from pipeline.balancer.haproxy.log_rotation import rotate
from pipeline.base.errors import BalancerFault, Cancelled
from pipeline.events import Event, Events
from pipeline.testing.fakes.access_log import FakeAccessLog
from pipeline.testing.fakes.clock import FakeClock
from stages.deploy.alarm_events import AlarmEvents
from stages.deploy.alarm_judge import AlarmJudge
from stages.deploy.judge import Judgement
from stages.deploy.probes import Probes
from tests.support.access_log import raw
from tests.unit.deploy.forwarded import BEGAN, NEW, PREVIOUS, START, TRAFFIC, request

CONDITIONS: list[dict[str, Any]] = [
    {"metric": "http_5xx_ratio", "worse_than_previous": True},
    {"metric": "p99", "slower_by": "10%"},
    {"metric": "connection_errors", "above": 3},
]


class World:
    """A judge, its log, its clock and its events. `unhealthy` and `restarts` are what HAProxy and Docker tell."""

    def __init__(self, folder: Path, *conditions: dict[str, Any], log: AccessLog | None = None, **more: Any) -> None:
        self.requests: list[ForwardedRequest] = []
        self.clock = FakeClock(START)
        self.unhealthy, self.restarts = 0, 0
        self.cancelled = threading.Event()
        self.fault: BalancerFault | None = None
        self.events: list[Event] = []
        self._log = log or FakeAccessLog([], self.requests)
        self._folder = folder
        self._settings = RollbackOn.model_validate({"conditions": conditions or CONDITIONS, "warm_up": "0s", **more})
        self.judge = self.new_judge()

    def new_judge(self) -> AlarmJudge:
        """Return a judge, as a process that continues makes one."""
        events = Events("shop")
        events.subscribe(self.events.append)
        return AlarmJudge(
            self._settings,
            TRAFFIC,
            self._log,
            start=lambda: START,
            clock=self.clock,
            probes=Probes(self._settings.conditions, self.clock, self._folder, {}),
            events=AlarmEvents(events, self.clock, "web", 5),
            cancelled=self.cancelled,
            unhealthy=lambda: self._read(self.unhealthy),
            restarts=lambda: self._read(self.restarts),
        )

    def _read(self, value: int) -> int:
        if self.fault:
            raise self.fault
        return value

    def look(self, seconds: float = 1) -> Judgement:
        """Let time pass, and look."""
        self.clock.advance(timedelta(seconds=seconds))
        return self.judge.look()

    def states(self) -> list[tuple[object, object]]:
        """Return the conditions and states in the events so far."""
        return [(event.fields["condition"], event.fields["state"]) for event in self.events]


Worlds = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> Worlds:
    return lambda *conditions, **more: World(tmp_path, *conditions, **more)


def traffic(
    seconds: int, *, bad: float = 0.0, slower: float = 1.0, rate: int = 200, seed: int = 1
) -> Iterator[ForwardedRequest]:
    """Yield requests of which a canary of 10 % gets its share, `bad` of them failing there, and slower there."""
    source = random.Random(seed)
    for at in range(seconds * rate):
        is_new = source.random() < 0.1
        took = source.lognormvariate(-3, 0.5) * (slower if is_new else 1)
        failed = source.random() < (bad if is_new else 0.001)
        place = NEW if is_new else PREVIOUS
        yield request(at / rate + took, place=place, status=500 if failed else 200, took=took)


def feed(world: World, records: Iterator[ForwardedRequest], seconds: int) -> Judgement:
    """Let requests happen and look once a second, until an alarm."""
    waiting = sorted(records, key=lambda found: found.ended)
    for second in range(1, seconds + 2):
        limit = BEGAN + second * 1000
        while waiting and waiting[0].ended <= limit:
            world.requests.append(waiting.pop(0))
        judgement = world.look()
        if judgement.alarm:
            return judgement
    return judgement


def test_a_release_with_errors(world: Worlds) -> None:
    """A release with 2 % of 500s is caught within a minute, and the alarm has the numbers that decided."""
    found = world({"metric": "http_5xx_ratio", "worse_than_previous": True})
    judgement = feed(found, traffic(60, bad=0.02), 60)
    assert judgement.alarm
    assert judgement.alarm.startswith("alarm: http_5xx_ratio worse_than_previous: 2.")
    assert " against 0." in judgement.alarm
    assert judgement.alarm.endswith("an alarm needs 100 at 99% confidence")
    assert found.states() == [(1, "INSUFFICIENT_DATA"), (1, "OK"), (1, "ALARM")] or found.states()[-1] == (1, "ALARM")


def test_a_slower_release(world: Worlds) -> None:
    """A release whose times are 30 % longer is caught."""
    judgement = feed(world({"metric": "response_time", "worse_than_previous": True}), traffic(60, slower=1.3), 60)
    assert judgement.alarm
    assert judgement.alarm.startswith("alarm: response_time worse_than_previous: p50 ")


def test_an_equal_release(world: Worlds) -> None:
    """An equal release has no alarm, and is promoted at the end."""
    judgement = feed(world(), traffic(60), 60)
    assert judgement.alarm is None
    assert [verdict.state for verdict in judgement.verdicts] == ["OK", "OK", "OK"]
    assert decide(judgement.verdicts, judgement.insufficient_data, bake_time_over=True).action == "promote"


@pytest.mark.parametrize(("insufficient_data", "action"), [("promote", "promote"), ("rollback", "rollback")])
def test_no_traffic(world: Worlds, insufficient_data: str, action: str) -> None:
    """Without traffic, nothing decides, and the setting says what follows."""
    found = world({"metric": "http_5xx_ratio", "above": "1%"}, insufficient_data=insufficient_data)
    judgement = feed(found, iter(()), 30)
    assert judgement.alarm is None
    (verdict,) = judgement.verdicts
    assert verdict.text == "http_5xx_ratio above 1%: 0.0% (0 of 0 requests), 20 more requests are needed"
    assert decide(judgement.verdicts, judgement.insufficient_data, bake_time_over=True).action == action


def test_unhealthy_targets_and_restarts(world: Worlds) -> None:
    """Both need no traffic. The number of unhealthy targets is the one now, and restarts add up."""
    found = world(
        {"metric": "unhealthy_targets", "above": 1},
        {"metric": "restarts", "above": 2},
        {"metric": "restarts", "above": 9},
    )
    found.unhealthy, found.restarts = 1, 2
    assert found.look(2).alarm is None
    assert found.look().alarm is None
    found.restarts = 3
    judgement = found.look()
    assert judgement.alarm == "alarm: restarts above 2: 3"
    found.unhealthy = 2
    assert [verdict.text for verdict in found.look().verdicts] == [
        "unhealthy_targets above 1: 2",
        "restarts above 2: 3",
        "restarts above 9: 3",
    ]
    # The first alarm is the one that rolls back.
    assert found.look().alarm == "alarm: restarts above 2: 3"


def test_counts_are_not_lost_between_windows(world: Worlds) -> None:
    """A restart that is seen while no window ends counts in the next one."""
    found = world({"metric": "restarts", "above": 0})
    found.look(2)
    found.restarts = 1
    assert found.look(0.1).alarm is None
    assert found.look(0.9).alarm == "alarm: restarts above 0: 1"


def test_a_balancer_that_does_not_answer(world: Worlds) -> None:
    """The last known numbers stay while HAProxy restarts."""
    found = world({"metric": "unhealthy_targets", "above": 0})
    found.look(2)
    found.fault = BalancerFault("HAProxy is restarting")
    found.unhealthy = 1
    assert found.look().alarm is None
    found.fault = None
    assert found.look().alarm == "alarm: unhealthy_targets above 0: 1"


def test_a_command(world: Worlds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result of a command decides, and is not taken twice."""
    found = world({"command": ["./check.sh"], "datapoints_to_alarm": 2})
    results = iter([{0: Measurement(1.0)}, {}, {0: Measurement(error="it hangs")}, {0: Measurement(1.0)}])
    monkeypatch.setattr(Probes, "take", lambda _: next(results))
    assert [found.look(seconds).alarm for seconds in (2, 1, 1)] == [None] * 3
    assert found.look().alarm == "alarm: command ./check.sh: exit code 1, 2 times in a row"


def test_evidence_from_before_a_kill(world: Worlds) -> None:
    """A process that continues has the verdicts of the one that was killed."""
    found = world()
    before = feed(found, traffic(30, bad=0.01, seed=4), 30)
    found.judge = found.new_judge()
    assert found.look(0) == before
    assert before.verdicts[0].e_value != 1


def test_a_cancellation_ends_the_first_look_after_a_kill(world: Worlds) -> None:
    """The evidence of a whole day takes a while, and is read one window after the other."""
    found = world()
    read: list[int] = []

    def day() -> Iterator[ForwardedRequest]:
        for second in range(80_000):
            if second == 3:
                found.cancelled.set()
            read.append(second)
            yield request(second + 0.5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeAccessLog, "forwarded", lambda *_: day())
        with pytest.raises(Cancelled):
            found.look(80_000)
    assert len(read) < 10


def slow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each question for the time take a tenth of a second."""
    ticks = count()
    monkeypatch.setattr(world.clock, "monotonic", lambda: next(ticks) / 10)


def test_a_look_after_a_long_time_is_short(world: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records of a long time take several looks, whose result is that of a single one."""
    found = []
    for is_slow in (False, True):
        made = world({"metric": "http_5xx_ratio", "worse_than_previous": True}, {"metric": "restarts", "above": 5})
        made.requests += sorted(traffic(40, seed=3), key=lambda each: each.ended)
        made.restarts = 2
        if is_slow:
            slow(made, monkeypatch)
        looks = [made.look(40)]
        while not looks[-1].is_complete:
            looks.append(made.look(0))
        assert (len(looks) > 5) == is_slow
        assert made.look(0).is_complete
        found.append(looks[-1].verdicts)
    assert found[0] == found[1]
    assert found[0][1].text.startswith("restarts above 5: 2")


def test_an_alarm_does_not_wait_for_the_last_record(world: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look that finds it has it, although others have to follow."""
    made = world({"metric": "http_5xx_ratio", "above": "1%"})
    made.requests += sorted(traffic(60, bad=0.5), key=lambda each: each.ended)
    slow(made, monkeypatch)
    looks = [made.look(60)]
    while not looks[-1].alarm:
        looks.append(made.look(0))
    assert not looks[-1].is_complete


def test_a_look_in_slices_can_be_cancelled(world: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a whole one."""
    made = world()
    made.requests += traffic(40)
    slow(made, monkeypatch)
    assert not made.look(40).is_complete
    made.cancelled.set()
    with pytest.raises(Cancelled):
        made.look(0)


@pytest.mark.parametrize("before", [0, 1, 3, 40])
def test_a_night_without_requests(world: Worlds, before: int) -> None:
    """One look over it has the same verdicts as one in each second, whatever was before and comes after it."""
    conditions: list[dict[str, Any]] = [
        *CONDITIONS,
        {"metric": "http_5xx_ratio", "above": "5%"},
        {"metric": "http_5xx_ratio", "worse_by": "1%"},
        {"metric": "response_time", "worse_than_previous": True},
        {"metric": "p99", "above": "300ms"},
    ]
    evening, morning = list(traffic(1, rate=before, seed=7)), list(traffic(20, rate=9, bad=0.1, slower=1.5))
    night = 900
    later = [each._replace(arrived=each.arrived + night * 1000, ended=each.ended + night * 1000) for each in morning]
    found = []
    for steps in (1, night):
        judged = world(*conditions, min_requests=2)
        judged.requests += sorted(evening, key=lambda each: each.ended)
        for _ in range(steps):
            judged.look(night / steps)
        judged.requests += sorted(later, key=lambda each: each.ended)
        found.append(judged.look(40).verdicts)
    assert found[0] == found[1]


def test_events(world: Worlds) -> None:
    """Each change of a state has an event at once, and new numbers have one from time to time."""
    found = world({"metric": "http_5xx_ratio", "above": "5%"})
    feed(found, traffic(60), 60)
    first, enough, *later = found.events
    assert (first.kind, first.fields["state"], first.fields["was"]) == ("alarm.evaluated", "INSUFFICIENT_DATA", None)
    assert (enough.fields["state"], enough.fields["was"]) == ("OK", "INSUFFICIENT_DATA")
    assert first.message.startswith("alarm of web: INSUFFICIENT_DATA, http_5xx_ratio above 5%: ")
    assert first.message.endswith("are needed")
    assert 3 <= len(later) <= 6
    assert {event.fields["service"] for event in later} == {"web"}


def test_fewer_events_in_a_long_time(world: Worlds) -> None:
    """During a day, numbers are reported some hundred times."""
    found = world({"metric": "http_5xx_ratio", "above": "5%"})
    for _ in range(24 * 60):
        found.requests.append(request((found.clock.now().wall - START).total_seconds() + 30))
        found.look(60)
    assert len(found.events) < 300


def test_damaged_lines(tmp_path: Path) -> None:
    """Damaged lines of the log have one warning, and others count."""
    path = tmp_path / "access.log"
    path.write_bytes(b"".join([line(request(0.5)), b"x\tshop.web\n", line(request(0.6)), b"y\tshop.web\n"]))
    found = World(tmp_path, {"metric": "http_5xx_ratio", "above": "5%"}, log=HAProxyAccessLog(path))
    assert "(0 of 2 requests)" in found.look(2).verdicts[0].text
    found.look(1)
    texts = [event.message for event in found.events if event.kind == "deployment.warning"]
    assert texts == ["damaged lines of the access log do not count for the alarms of web"]


def line(found: ForwardedRequest) -> bytes:
    """Return the line of a request in HAProxy's log."""
    took = found.ended - found.arrived
    return raw(
        accepted_seconds=str(found.arrived // 1000),
        accepted_milliseconds=str(found.arrived % 1000),
        handshake="0",
        idle="0",
        total=str(took),
        response=str(took),
        status=str(found.status),
        target_status=str(found.status),
        backend=found.group,
        server=found.target or "",
    )


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9000), st.booleans(), st.sampled_from([200] * 4 + [500])), max_size=120),
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=8),
)
def test_reads_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[tuple[int, bool, int]],
    reads: list[tuple[float, bool]],
) -> None:
    """However the log is divided into reads, within lines and over rotations, the judgement is the same."""
    folder = tmp_path_factory.mktemp("log")
    requests = [request(at / 1000, place=NEW if new else PREVIOUS, status=status) for at, new, status in sorted(drawn)]
    lines = [line(found) for found in requests]
    content = b"".join(lines)
    judgements = []
    for number, chosen in enumerate(([], sorted(reads))):
        path = folder / f"{number}.log"
        path.touch()
        found = World(folder, *CONDITIONS, log=HAProxyAccessLog(path), min_requests=2)
        written = 0
        for share, is_rotated in chosen:
            end = max(written, round(share * len(content)))
            with path.open("ab") as file:
                file.write(content[written:end])
            written = end
            whole = content[:end].count(b"\n")
            now = requests[whole - 1].ended - BEGAN if whole else 0
            found.look(max(0.0, now / 1000 - (found.clock.now().wall - START).total_seconds()))
            # A log is rotated only after something of it was read, or its lines could not be told from older ones.
            if is_rotated and content[:end].endswith(b"\n") and path.stat().st_size and whole:
                rotate(path, 0, 2**20)
        with path.open("ab") as file:
            file.write(content[written:])
        judgements.append(found.look(12 - (found.clock.now().wall - START).total_seconds()))
    assert judgements[0] == judgements[1]
