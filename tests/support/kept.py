"""What `pytest --keep` leaves: the folder, and how a test's report says what is in it."""

from __future__ import annotations

PREFIX = "penstock-kept-"
"""The beginning of the folder's name."""
PROPERTY = "kept"
"""The property of a report whose value says how to look at what the test left."""
