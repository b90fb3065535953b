"""A window holds counts that do not contradict one another."""

from __future__ import annotations

import pytest

from pipeline.alarms.histogram import Histogram
from pipeline.alarms.window import ReleaseWindow


def test_a_sum() -> None:
    """Counts add up, and the number of unhealthy targets is the later one."""
    one = ReleaseWindow(requests=3, target_5xx=1, response_times=Histogram({5: 3}), unhealthy_targets=2, restarts=1)
    other = ReleaseWindow(requests=4, elb_5xx=2, connection_errors=9, response_times=Histogram({5: 1}), restarts=2)
    assert one + other == ReleaseWindow(
        requests=7,
        target_5xx=1,
        elb_5xx=2,
        connection_errors=9,
        response_times=Histogram({5: 4}),
        unhealthy_targets=0,
        restarts=3,
    )
    assert (other + one).unhealthy_targets == 2


@pytest.mark.parametrize(
    ("counts", "error"),
    [
        ({"requests": -1}, "the counts of a window must be at least 0"),
        ({"restarts": -1}, "the counts of a window must be at least 0"),
        (
            {"requests": 3, "target_5xx": 2, "elb_5xx": 2},
            "a window of 3 requests cannot have 4 responses with 5XX",
        ),
        (
            {"requests": 1, "response_times": Histogram({5: 2})},
            "a window of 1 requests cannot have 2 response times",
        ),
    ],
)
def test_contradictions(counts: dict[str, object], error: str) -> None:
    """Impossible counts are refused."""
    with pytest.raises(ValueError, match=error):
        ReleaseWindow(**counts)  # type: ignore[arg-type]
