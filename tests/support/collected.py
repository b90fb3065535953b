"""The number of tests that pytest has collected from each file, before it leaves any out."""

from __future__ import annotations

from collections import Counter

import pytest

COUNTS = pytest.StashKey[Counter[str]]()
"""The counts by file, relative to the project, in the stash of pytest's configuration."""
