"""How many generated cases the tests try: a sample, or with `FULL=1` all of them, as `make full` does."""

from __future__ import annotations

import os

FULL = os.environ.get("FULL", "") not in ("", "0")
_SHARE = 5


def sampled(count: int) -> int:
    """Return how many of `count` generated cases to try: all in a full run, else a fifth, but at least ten."""
    return count if FULL else min(count, max(10, count // _SHARE))
