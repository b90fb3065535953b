"""The figures of the simulated alarms."""

from __future__ import annotations

from bench.alarms import figure, row


def test_a_figure_is_the_share_of_wrong_decisions() -> None:
    """An alarm is wrong for an equal release, and its absence for a bad one."""
    assert str(figure("equal", "5xx", 0.2, is_equal=True)) == "equal: false alarms of 5xx, % 0.2 (at most 1)"
    assert str(figure("bad", "5xx", 98.0, is_equal=False)) == "bad: missed by 5xx, % 2 (at most 1, MISSED)"


def test_a_row() -> None:
    """A row has the share of deployments with an alarm, and the median of its seconds."""
    assert row("bad", "5xx", [3, 5, 40], 4) == ("bad", "5xx", "75.00 %", "5")
    assert row("equal", "5xx", [], 4) == ("equal", "5xx", "0.00 %", "none")
