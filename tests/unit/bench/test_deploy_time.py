"""A deployment is compared with the floor of the same round."""

from __future__ import annotations

from bench.deploy_time import Comparison, Round


def test_comparison() -> None:
    """A round that was slow for everything changes no ratio."""
    quiet = Round(floor=1.0, command=1.2, daemon=1.1, command_served=0.9, daemon_served=0.6, earlier_served=1.0)
    busy = Round(*(5 * seconds for seconds in quiet))
    comparison = Comparison(1, [quiet, busy, busy], reused=0.2)
    assert [round(figure.value, 2) for figure in comparison.figures()] == [1.2, 1.1]
    assert comparison.ratio("daemon_served", "earlier_served") == 0.6
    assert comparison.row() == ("1", "5.00 s", "1.20", "1.10", "4.50 s", "3.00 s", "5.00 s", "200 ms")
