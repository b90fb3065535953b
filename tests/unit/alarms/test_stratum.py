"""Windows are joined until both releases have requests."""

from __future__ import annotations

import pytest

from pipeline.alarms.stratum import Stratum
from pipeline.alarms.window import ReleaseWindow


def ends(*windows: tuple[int, int]) -> list[tuple[int, int] | None]:
    """Return the numbers of requests of each stratum, at the window that ends it."""
    stratum, found = Stratum(), []
    for new, previous in windows:
        joined = stratum.add(ReleaseWindow(requests=new), ReleaseWindow(requests=previous))
        found.append(joined and (joined[0].requests, joined[1].requests))
    return found


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([(20, 180), (4, 4)], [(20, 180), (4, 4)]),
        ([(3, 180), (1, 0), (5, 5)], [None, (4, 180), (5, 5)]),
        ([(0, 18)] * 9 + [(1, 18)], [None] * 9 + [(1, 180)]),
        ([(0, 18)] * 12 + [(1, 0)], [None] * 12 + [(1, 216)]),
        ([(20, 0)] * 11, [None] * 11),
    ],
)
def test_the_end_of_a_stratum(windows: list[tuple[int, int]], expected: list[tuple[int, int] | None]) -> None:
    """A stratum ends with four requests of each release, or after ten windows with one of each."""
    assert ends(*windows) == expected
