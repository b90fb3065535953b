"""The folder that `pytest --keep` leaves, and the part of a test's report that describes it."""

from __future__ import annotations

PREFIX = "penstock-kept-"
"""The beginning of the folder's name."""
PROPERTY = "kept"
"""The property of a report whose value says how to look at what the test left."""
