"""The capital of a gambler who bets that the new release is worse."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alarms.ratio import Count, against_limit
from pipeline.alarms.wealth import ODDS_RATIOS, Wealth
from tests.support.sample import sampled


def test_the_expectation_is_one_at_any_time() -> None:
    """Over all outcomes of ten windows at the limit, the capital has the expectation 1 after each of them."""
    limit = 0.2
    for windows in range(1, 11):
        expectation = 0.0
        for outcome in product((0, 1), repeat=windows):
            wealth = Wealth()
            for bad in outcome:
                wealth.bet(against_limit(Count(bad, 1), limit))
            expectation += math.prod(limit if bad else 1 - limit for bad in outcome) * wealth.e_value
        assert expectation == pytest.approx(1.0)


def test_it_starts_at_one() -> None:
    """Nothing is won or lost before the first window, or by windows that show nothing."""
    wealth = Wealth()
    assert wealth.e_value == 1.0
    for _ in range(10_000):
        wealth.bet((0.0,) * len(ODDS_RATIOS))
    assert wealth.e_value == pytest.approx(1.0)


def test_a_release_that_gets_worse_late() -> None:
    """After five minutes of good responses, 5 % of bad ones are found in less than a minute."""
    wealth = Wealth()
    for _ in range(300):
        wealth.bet(against_limit(Count(0, 20), 0.01))
    assert wealth.e_value < 1
    seconds = 0
    while wealth.e_value < 100:
        wealth.bet(against_limit(Count(1, 20), 0.01))
        seconds += 1
    assert seconds < 60


@given(st.lists(st.lists(st.floats(-1e300, 1e300), min_size=6, max_size=6), max_size=20))
@settings(max_examples=sampled(300))
def test_it_stays_a_number(bets: list[list[float]]) -> None:
    """The capital is finite and not negative, whatever the e-values are."""
    wealth = Wealth()
    for factors in bets:
        wealth.bet(factors)
        assert 0 <= wealth.e_value < math.inf


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.data())
@settings(max_examples=sampled(200))
def test_more_evidence_is_more_capital(counts: list[int], data: st.DataObject) -> None:
    """One bad response more in any window leaves more capital at the end."""
    more = list(counts)
    more[data.draw(st.integers(0, len(counts) - 1))] += 1
    found = []
    for each in (counts, more):
        wealth = Wealth()
        for bad in each:
            wealth.bet(against_limit(Count(bad, 10), 0.1))
        found.append(wealth.e_value)
    assert found[1] > found[0]
