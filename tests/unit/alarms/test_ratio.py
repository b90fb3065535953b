"""The e-values of ratios: their expectation is at most 1 for any release that is not worse, by exact sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alarms.ratio import Count, against_limit, against_previous, against_previous_plus
from pipeline.alarms.wealth import ODDS_RATIOS
from tests.support.sample import sampled

TOTALS = st.integers(0, 12)
RATIO = st.floats(0, 1)
EARLIER = Count(2, 300)
# What sums of floating-point numbers may lose.
_TOLERANCE = 1e-9


def binomial(count: int, total: int, ratio: float) -> float:
    """Return the probability of so many bad responses."""
    return math.comb(total, count) * ratio**count * (1 - ratio) ** (total - count)


def expectations(
    factors: Callable[[Count, Count], Sequence[float]], new: tuple[int, float], previous: tuple[int, float]
) -> list[float]:
    """Return the expectation of the e-value of each alternative. Releases are pairs of requests and ratio."""
    sums = [0.0] * len(ODDS_RATIOS)
    for bad, previously in product(range(new[0] + 1), range(previous[0] + 1)):
        weight = binomial(bad, *new) * binomial(previously, *previous)
        for index, exponent in enumerate(factors(Count(bad, new[0]), Count(previously, previous[0]))):
            sums[index] += weight * math.exp(exponent)
    return sums


@given(TOTALS, TOTALS, RATIO, RATIO)
@settings(max_examples=sampled(200), deadline=None)
def test_against_previous_is_an_e_value(new: int, previous: int, ratio: float, share: float) -> None:
    """Whatever the ratio is, a release that is equal or better has expectations of at most 1."""
    found = expectations(against_previous, (new, ratio * share), (previous, ratio))
    assert max(found) <= 1 + _TOLERANCE


@given(st.integers(0, 60), st.floats(0.001, 0.99), RATIO)
@settings(max_examples=sampled(200), deadline=None)
def test_against_limit_is_an_e_value(total: int, limit: float, share: float) -> None:
    """A release within the limit has expectations of at most 1, and one at the limit has exactly 1."""
    at_limit = expectations(lambda new, _: against_limit(new, limit), (total, limit), (0, 0.0))
    below = expectations(lambda new, _: against_limit(new, limit), (total, limit * share), (0, 0.0))
    assert at_limit == pytest.approx([1.0] * len(ODDS_RATIOS))
    assert max(below) <= 1 + _TOLERANCE


@given(TOTALS, TOTALS, RATIO, st.floats(0.001, 0.5), RATIO, st.builds(Count, st.integers(0, 50), st.just(50)))
@settings(max_examples=sampled(200), deadline=None)
def test_against_previous_plus_is_an_e_value(
    new: int, previous: int, ratio: float, margin: float, share: float, earlier: Count
) -> None:
    """A release within the margin has expectations of at most 1, whatever the earlier windows were."""
    ratio *= 1 - margin
    found = expectations(
        lambda one, other: against_previous_plus(one, other, margin, earlier),
        (new, (ratio + margin) * share),
        (previous, ratio),
    )
    assert max(found) <= 1 + _TOLERANCE


def test_a_worse_release_is_evidence() -> None:
    """The logarithm of some alternative grows on average if the release is worse."""
    for factors in (
        against_previous,
        lambda new, previous: against_previous_plus(new, previous, 0.005, EARLIER),
        lambda new, _: against_limit(new, 0.01),
    ):
        growth = [0.0] * len(ODDS_RATIOS)
        for bad, previously in product(range(21), range(6)):
            weight = binomial(bad, 20, 0.03) * binomial(previously, 180, 0.001)
            found = factors(Count(bad, 20), Count(previously, 180))
            growth = [sum_ + weight * exponent for sum_, exponent in zip(growth, found, strict=True)]
        assert max(growth) > 0.1


@given(st.integers(1, 40), st.integers(1, 40), st.data())
@settings(max_examples=sampled(200), deadline=None)
def test_more_evidence_never_counts_less(new: int, previous: int, data: st.DataObject) -> None:
    """A bad response more of the new release, in place of one of the previous release or of a good one, raises all."""
    bad = data.draw(st.integers(0, new - 1))
    previously = data.draw(st.integers(1, previous))
    moved = against_previous(Count(bad + 1, new), Count(previously - 1, previous))
    assert all(
        a >= b for a, b in zip(moved, against_previous(Count(bad, new), Count(previously, previous)), strict=True)
    )
    limited = against_limit(Count(bad + 1, new), 0.02)
    assert all(a > b for a, b in zip(limited, against_limit(Count(bad, new), 0.02), strict=True))
    plus = against_previous_plus(Count(bad + 1, new), Count(previously - 1, previous), 0.01, EARLIER)
    before = against_previous_plus(Count(bad, new), Count(previously, previous), 0.01, EARLIER)
    assert all(a > b for a, b in zip(plus, before, strict=True))


@given(
    st.integers(0, 10**12).flatmap(lambda n: st.builds(Count, st.integers(0, n), st.just(n))),
    st.integers(0, 10**12).flatmap(lambda n: st.builds(Count, st.integers(0, n), st.just(n))),
    st.floats(1e-8, 0.99),
)
@settings(max_examples=sampled(300), deadline=None)
def test_huge_counts(new: Count, previous: Count, limit: float) -> None:
    """Counts up to 10**12 give numbers."""
    for found in (
        against_limit(new, limit),
        against_previous(new, previous),
        against_previous_plus(new, previous, limit, previous),
    ):
        assert len(found) == len(ODDS_RATIOS)
        assert all(map(math.isfinite, found))


@pytest.mark.parametrize(
    ("new", "previous"),
    [
        (Count(), Count()),
        (Count(3, 5), Count()),
        (Count(), Count(3, 5)),
        (Count(0, 5), Count(0, 9)),
        (Count(5, 5), Count(9, 9)),
    ],
)
def test_no_comparison(new: Count, previous: Count) -> None:
    """Without requests of one release, and if all responses are alike, nothing is learned."""
    assert against_previous(new, previous) == (0.0,) * len(ODDS_RATIOS)


def test_no_requests() -> None:
    """Windows without requests are no evidence of any kind."""
    zeros = (0.0,) * len(ODDS_RATIOS)
    assert against_limit(Count(), 0.01) == zeros
    assert against_previous_plus(Count(), Count(1, 9), 0.01, EARLIER) == zeros
    assert against_previous_plus(Count(1, 9), Count(1, 9), 0.01, Count()) == zeros


def test_a_single_bad_response_is_exact() -> None:
    """For one bad response the bound is the expectation itself: odds / (1 + share * (odds - 1))."""
    (factor, *_) = reversed(against_previous(Count(1, 1), Count(0, 9)))
    assert math.exp(factor) == pytest.approx(ODDS_RATIOS[-1] / (1 + 0.1 * (ODDS_RATIOS[-1] - 1)))
