"""The figures of canaries under real traffic, and the servers that they are measured with."""

from __future__ import annotations

import random
import statistics

import pytest

from bench.canary import Cost, Deployment, Sent, results
from bench.figure import percentile
from bench.release_servers import RELEASES

COST = Cost([990.0], [0.4, 0.5, 0.6], [50.0, 60.0], [50.0, 60.0])


def test_wrong_decisions() -> None:
    """A bad release that is promoted is wrong, and so is an equal one that is rolled back."""
    found = [
        Deployment("equal", None, "", is_promoted=True),
        Deployment("equal", 12.0, "an alarm", is_promoted=False),
        Deployment("2 % of 500s", 9.0, "an alarm", is_promoted=False),
        Deployment("2 % of 500s", None, "", is_promoted=True),
    ]
    page = results(found, 2, 1, 180.0, COST, Sent(1000, 1))
    assert [(figure.name, figure.value, figure.met) for figure in page.figures] == [
        ("equal: wrong decisions", 1, False),
        ("2 % of 500s: wrong decisions", 1, False),
        ("requests without a response", 1, False),
        ("the judge, % of a core at 1,000 requests/s", 0.5, True),
        ("CPU time of a request with the judge, times without", 1.0, True),
    ]
    assert page.rows[1] == ("2 % of 500s", "2", "1", "1", "9", "9")


def test_releases() -> None:
    """The servers fail and take as long as the page says."""
    source = random.Random(1)
    times, failed = {}, {}
    for name, behaviour in RELEASES.items():
        drawn = [behaviour.draw(source) for _ in range(50_000)]
        times[name] = [seconds for _, seconds in drawn]
        failed[name] = sum(status == 500 for status, _ in drawn) / len(drawn)
    assert failed["equal"] == pytest.approx(0.001, abs=0.0006)
    assert failed["2 % of 500s"] == pytest.approx(0.02, abs=0.003)
    assert statistics.median(times["previous"]) == pytest.approx(0.030, rel=0.02)
    assert percentile(times["previous"], 0.99) == pytest.approx(0.096, rel=0.04)
    slower = times["30 % slower at p99"]
    assert percentile(slower, 0.99) / percentile(times["previous"], 0.99) == pytest.approx(1.3, abs=0.06)
    assert statistics.median(slower) == pytest.approx(0.030, rel=0.02)
