"""The points of the long measurement."""

from __future__ import annotations

import pytest

from bench.soak import points


@pytest.mark.parametrize("runs", [51, 53, 100, 2000])
def test_points(runs: int) -> None:
    """The first point is after 50 runs, the last one after all, and they grow."""
    found = points(runs)
    assert (found[0], found[-1]) == (50, runs)
    assert found == sorted(set(found))
