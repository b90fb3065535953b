"""Contract suites: one for each interface, run against its fake and its real implementations."""

from __future__ import annotations
