"""Histograms of response times add up, and their quantiles are at most 2 % too high."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alarms.histogram import LAST_BUCKET, Histogram, bucket_of, upper_bound
from tests.support.sample import sampled

TIMES = st.lists(st.floats(1e-4, 99), min_size=1, max_size=50)


@given(st.floats(1e-4, 99))
@settings(max_examples=sampled(500))
def test_a_bucket_is_two_percent_wide(seconds: float) -> None:
    """A time is at most the bound of its bucket, and more than 1/1.02 of it."""
    bound = upper_bound(bucket_of(seconds))
    assert bound / 1.0201 <= seconds <= bound * (1 + 1e-9)


@given(st.integers(0, LAST_BUCKET))
def test_a_bound_is_in_its_own_bucket(bucket: int) -> None:
    """The bound of a bucket is counted in this bucket, whatever its last bit is."""
    assert bucket_of(upper_bound(bucket)) == bucket


def test_extreme_times() -> None:
    """Times outside of the range are in the first and the last bucket."""
    assert [bucket_of(t) for t in (-1.0, 0.0, 1e-5, 1e-4)] == [0, 0, 0, 0]
    assert [bucket_of(t) for t in (100.0, 101.0, math.inf)] == [LAST_BUCKET] * 3


@given(TIMES, TIMES)
@settings(max_examples=sampled(200))
def test_a_sum_is_the_histogram_of_all_times(some: list[float], others: list[float]) -> None:
    """The sum of two histograms is that of the times of both, in either order."""
    whole = Histogram.from_times([*some, *others])
    assert Histogram.from_times(some) + Histogram.from_times(others) == whole
    assert Histogram.from_times(others) + Histogram.from_times(some) == whole
    assert whole + Histogram() == Histogram() + whole == whole
    assert whole.total == len(some) + len(others)


@given(TIMES, st.floats(0, 1))
@settings(max_examples=sampled(200))
def test_a_quantile(times: list[float], share: float) -> None:
    """A quantile is that of the sorted times, rounded up to the bound of its bucket."""
    exact = sorted(times)[max(0, math.ceil(share * len(times) - 1e-9) - 1)]
    (found,) = Histogram.from_times(times).quantiles([share])
    assert exact * (1 - 1e-9) <= found <= exact * 1.0201


@given(TIMES, st.lists(st.integers(0, LAST_BUCKET), max_size=5))
@settings(max_examples=sampled(200))
def test_above(times: list[float], buckets: list[int]) -> None:
    """The times above a bucket are those of the later buckets."""
    expected = [sum(bucket_of(time) > bucket for time in times) for bucket in buckets]
    assert Histogram.from_times(times).above(buckets) == expected


def test_the_median_of_many_times() -> None:
    """The median of a large histogram is that of the times."""
    times = [0.001 * n for n in range(1, 10_001)]
    (median,) = Histogram.from_times(times).quantiles([0.5])
    assert median == pytest.approx(statistics.median(times), rel=0.02)


def test_an_empty_histogram() -> None:
    """An empty histogram has no times and quantiles of zero."""
    empty = Histogram()
    assert (empty.total, empty.above([0, 5]), empty.quantiles([0.5, 0.99])) == (0, [0, 0], [0.0, 0.0])


@pytest.mark.parametrize("counts", [{0: -1}, {-1: 1}, {LAST_BUCKET + 1: 1}])
def test_impossible_counts(counts: dict[int, int]) -> None:
    """Negative counts and unknown buckets are refused."""
    with pytest.raises(ValueError, match="a histogram has counts of at least 0, in buckets from 0 to 698"):
        Histogram(counts)
