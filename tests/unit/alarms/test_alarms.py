"""The alarms of a deployment, from windows to texts."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alarms.alarms import Alarms
from pipeline.alarms.decision import AlarmDecision, decide
from pipeline.alarms.histogram import Histogram
from pipeline.alarms.probe_alarm import Measurement
from pipeline.alarms.rollback_on import RollbackOn
from pipeline.alarms.verdict import Verdict
from pipeline.alarms.window import ReleaseWindow
from tests.support.sample import sampled
from tests.unit.alarms.windows import window


def alarms(*conditions: dict[str, Any], **section: Any) -> Alarms:
    """Return the alarms with these conditions."""
    return Alarms(RollbackOn.model_validate({"conditions": conditions, **section}))


def only(found: Alarms) -> Verdict:
    """Return the verdict on the only condition."""
    (verdict,) = found.verdicts()
    return verdict


def counts(requests: int, bad: int = 0, **others: Any) -> ReleaseWindow:
    """Return a window whose requests took 50 ms."""
    times = Histogram.from_times([0.05] * requests)
    return ReleaseWindow(requests=requests, target_5xx=bad, response_times=times, **others)


WORSE = {"metric": "http_5xx_ratio", "worse_than_previous": True}


@pytest.mark.parametrize(
    ("condition", "new", "previous", "state", "text"),
    [
        (
            WORSE,
            counts(100, 8),
            counts(900, 1),
            "ALARM",
            "http_5xx_ratio worse_than_previous: 8.0% (8 of 100 requests) against 0.11% (1 of 900 requests), evidence "
            "478,200, an alarm needs 100 at 99% confidence",
        ),
        (
            WORSE,
            counts(100, 2),
            counts(900, 2),
            "OK",
            "http_5xx_ratio worse_than_previous: 2.0% (2 of 100 requests) against 0.22% (2 of 900 requests), evidence "
            "2.3, an alarm needs 100 at 99% confidence, about 450 more requests like these",
        ),
        (
            WORSE,
            counts(12, 12),
            counts(900),
            "INSUFFICIENT_DATA",
            "http_5xx_ratio worse_than_previous: 100.0% (12 of 12 requests) against 0.0% (0 of 900 requests), 8 more "
            "requests are needed",
        ),
        (
            WORSE,
            counts(1000),
            counts(19),
            "INSUFFICIENT_DATA",
            "http_5xx_ratio worse_than_previous: 0.0% (0 of 1,000 requests) against 0.0% (0 of 19 requests), 1 more "
            "request of the previous release is needed",
        ),
        (
            {"metric": "target_5xx_ratio", "above": "1%"},
            counts(100, 10),
            counts(0),
            "ALARM",
            "target_5xx_ratio above 1%: 10.0% (10 of 100 requests), evidence 114,526, an alarm needs 100 at 99% "
            "confidence",
        ),
        (
            {"metric": "elb_5xx_ratio", "above": "1%"},
            counts(100, 10),
            counts(0),
            "OK",
            "elb_5xx_ratio above 1%: 0.0% (0 of 100 requests), evidence 0.63, an alarm needs 100 at 99% confidence",
        ),
        (
            {"metric": "p99", "above": "40ms"},
            counts(100),
            counts(0),
            "ALARM",
            "p99 above 40ms: 50.2ms (100 requests), evidence 2e+129, an alarm needs 100 at 99% confidence",
        ),
        (
            {"metric": "p90", "slower_by": "10%"},
            counts(100),
            counts(900),
            "OK",
            "p90 slower_by 10%: 50.2ms (100 requests) against 50.2ms (900 requests), evidence 1, an alarm "
            "needs 100 at 99% confidence",
        ),
        (
            {"metric": "response_time", "worse_than_previous": True},
            counts(100),
            counts(900),
            "OK",
            "response_time worse_than_previous: p50 50.2ms, p90 50.2ms, p99 50.2ms (100 requests) against p50 50.2ms, "
            "p90 50.2ms, p99 50.2ms (900 requests), evidence 1, an alarm needs 100 at 99% confidence",
        ),
        ({"metric": "restarts", "above": 2}, counts(0, restarts=3), counts(0), "ALARM", "restarts above 2: 3"),
        ({"metric": "restarts", "above": 3}, counts(0, restarts=3), counts(0), "OK", "restarts above 3: 3"),
        (
            {"metric": "connection_errors", "above": 5},
            counts(0, connection_errors=1000),
            counts(0),
            "ALARM",
            "connection_errors above 5: 1,000",
        ),
        (
            {"metric": "unhealthy_targets", "above": 0},
            counts(0, unhealthy_targets=1),
            counts(0),
            "ALARM",
            "unhealthy_targets above 0: 1",
        ),
    ],
)
def test_the_text_of_a_verdict(
    condition: dict[str, Any], new: ReleaseWindow, previous: ReleaseWindow, state: str, text: str
) -> None:
    """A verdict shows the numbers of both releases, the evidence and the limit."""
    found = alarms(condition)
    found.add(new, previous)
    assert (only(found).state, only(found).text) == (state, text)


def test_worse_by() -> None:
    """A margin of points is forgiven, and what is beyond it is found."""
    found, rng = alarms({"metric": "http_5xx_ratio", "worse_by": "1%"}), random.Random(1)
    for _ in range(60):
        found.add(window(rng, 20, errors=0.011), window(rng, 180, errors=0.001))
    assert only(found).state == "OK"
    for _ in range(60):
        found.add(window(rng, 20, errors=0.1), window(rng, 180, errors=0.001))
    assert only(found).state == "ALARM"
    assert only(found).text.startswith("http_5xx_ratio worse_by 1%: ")


def test_several_conditions_share_the_confidence() -> None:
    """Each of two conditions needs twice the evidence."""
    found = alarms(WORSE, {"metric": "p99", "above": "1s"}, {"metric": "restarts", "above": 0})
    found.add(counts(100, 2), counts(900, 2))
    assert ["an alarm needs 200 at 99% confidence" in each.text for each in found.verdicts()] == [True, True, False]


def test_the_number_of_unhealthy_targets_is_the_latest() -> None:
    """A target that is healthy again ends the alarm, other counts only grow."""
    found = alarms({"metric": "unhealthy_targets", "above": 0}, {"metric": "restarts", "above": 1})
    found.add(counts(0, unhealthy_targets=1, restarts=1), counts(0))
    found.add(counts(0, restarts=1), counts(0))
    assert [verdict.state for verdict in found.verdicts()] == ["OK", "ALARM"]


def test_needed_requests_shrink_while_evidence_grows() -> None:
    """The number of requests that are missing is about right: the alarm comes within twice of it."""
    found, missing = alarms(WORSE), None
    sent = 0
    while only(found).state != "ALARM":
        verdict = only(found)
        if missing is None and verdict.needed and verdict.state == "OK":
            missing, sent = verdict.needed, 0
        found.add(counts(20, 1), counts(180, 1))
        sent += 20
    assert missing is not None
    assert missing / 2 <= sent <= missing * 2


@given(st.permutations(range(9)), st.integers(0, 2**32))
@settings(max_examples=sampled(50), deadline=None)
def test_the_order_within_a_stratum_does_not_matter(order: list[int], seed: int) -> None:
    """Windows that are compared together may come in any order."""
    rng = random.Random(seed)
    # The last window has the requests that end the stratum.
    seconds = [(counts(0), window(rng, 5, 0.1)) for _ in range(8)] + [(window(rng, 3, 0.3), counts(0))]
    last = window(rng, 20, 0.3), window(rng, 30, 0.1)
    one, other = (alarms(WORSE, {"metric": "response_time", "worse_than_previous": True}) for _ in range(2))
    for index, found in ((range(9), one), (order, other)):
        for number in index:
            found.add(*seconds[number])
        found.add(*last)
    assert one.verdicts() == other.verdicts()


@given(st.integers(0, 2**32))
@settings(max_examples=sampled(20), deadline=None)
def test_the_same_windows_give_the_same_verdicts(seed: int) -> None:
    """A process that continues a deployment comes to the same verdicts from the same windows."""
    rng = random.Random(seed)
    seconds = [(window(rng, 5, 0.1), window(rng, 40, 0.05)) for _ in range(20)]
    one, other = (alarms(WORSE, {"metric": "p99", "slower_by": "10%"}) for _ in range(2))
    for found in (one, other):
        for second in seconds:
            found.add(*second)
    assert one.verdicts() == other.verdicts()


def test_a_command() -> None:
    """Only exit codes in a row are an alarm, and a measurement that failed neither ends a row nor is one."""
    found = alarms({"command": ["./check.sh"], "datapoints_to_alarm": 2})
    states = []
    for value in (None, 0, 1, 0, 1, None, 2):
        measurement = Measurement(value) if value is not None else Measurement(error="timed out after 10 s")
        found.add(counts(0), counts(0), {0: measurement})
        states.append((only(found).state, only(found).text))
    assert states == [
        ("INSUFFICIENT_DATA", "command ./check.sh: not measured, timed out after 10 s"),
        ("OK", "command ./check.sh: exit code 0"),
        ("OK", "command ./check.sh: exit code 1"),
        ("OK", "command ./check.sh: exit code 0"),
        ("OK", "command ./check.sh: exit code 1"),
        ("INSUFFICIENT_DATA", "command ./check.sh: not measured, timed out after 10 s"),
        ("ALARM", "command ./check.sh: exit code 2, 2 times in a row"),
    ]


@pytest.mark.parametrize(
    ("limits", "value", "state"),
    [
        ({"above": 0.5}, 0.6, "ALARM"),
        ({"above": 0.5}, 0.5, "OK"),
        ({"below": 0.5}, 0.4, "ALARM"),
        ({"above": 2, "below": 1}, 1.5, "OK"),
        ({"above": 2, "below": 1}, 3, "ALARM"),
        ({"above": 2}, float("nan"), "INSUFFICIENT_DATA"),
    ],
)
def test_a_query(limits: dict[str, float], value: float, state: str) -> None:
    """The result of a query is compared with its limits."""
    found = alarms({"promql": "sum(up)", **limits})
    assert only(found).text.startswith("promql sum(up) ")
    assert only(found).text.endswith(": not measured yet")
    found.add(counts(0), counts(0), {0: Measurement(value)})
    assert only(found).state == state


def test_a_measurement_of_no_probe() -> None:
    """A measurement for a condition that takes none is refused, and nothing is counted."""
    found = alarms({"metric": "restarts", "above": 0})
    for index in (0, 1, -1):
        with pytest.raises(KeyError):
            found.add(counts(0, restarts=1), counts(0), {index: Measurement(1)})
    assert only(found).state == "OK"


OK, ALARM, UNDECIDED = Verdict("OK", "fine"), Verdict("ALARM", "bad"), Verdict("INSUFFICIENT_DATA", "few")


@pytest.mark.parametrize(
    ("verdicts", "setting", "over", "decision"),
    [
        ((OK, ALARM), "promote", False, AlarmDecision("rollback", ("alarm: bad",))),
        ((ALARM, UNDECIDED, ALARM), "promote", True, AlarmDecision("rollback", ("alarm: bad", "alarm: bad"))),
        ((OK, UNDECIDED), "rollback", False, AlarmDecision("wait")),
        ((OK, UNDECIDED), "rollback", True, AlarmDecision("rollback", ("few",))),
        ((OK, UNDECIDED), "promote", True, AlarmDecision("promote", ("fine", "few"))),
        ((OK,), "rollback", True, AlarmDecision("promote", ("fine",))),
    ],
)
def test_the_decision(verdicts: tuple[Verdict, ...], setting: Any, over: bool, decision: AlarmDecision) -> None:
    """An alarm rolls back at once, and the rest is decided when the bake time is over."""
    assert decide(verdicts, setting, bake_time_over=over) == decision
