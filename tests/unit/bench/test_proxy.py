"""The output of the load generator is read exactly, and a failed request fails the measurement."""

from __future__ import annotations

import pytest

from bench.proxy import Costs, responses

OUTPUT = """\
Running 1s test @ http://127.0.0.1:1234/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   834.55us  195.86us   5.05ms   91.71%
    Req/Sec    38.47k     1.35k   40.45k    90.00%
  42087 requests in 1.10s, 6.87MB read
Requests/sec:  38259.15
"""


def test_responses() -> None:
    """The number of responses is read from wrk's output."""
    assert responses("nginx", OUTPUT) == 42087


@pytest.mark.parametrize(
    "line",
    ["  Non-2xx or 3xx responses: 3\n", "  Socket errors: connect 0, read 2, write 0, timeout 0\n"],
)
def test_failures(line: str) -> None:
    """A response of another status or a broken connection fails the measurement, with the proxy's name."""
    with pytest.raises(AssertionError, match="nginx"):
        responses("nginx", OUTPUT + line)


def test_medians() -> None:
    """One slow round does not change the cost or the rate."""
    costs = Costs([20.0, 900.0, 22.0], [100.0, 3.0, 90.0])
    assert (costs.median, costs.rate) == (22.0, 90.0)
