"""Tools for tests: a load generator and fakes."""

from __future__ import annotations
