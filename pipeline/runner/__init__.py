"""One run from the queue to its last event, and the recovery of runs that a crash left open."""

from __future__ import annotations
