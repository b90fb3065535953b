"""A Docker Engine for one test. See `tests/support/private_engine.py`."""

from __future__ import annotations

from tests.support.private_engine import PrivateEngine, obstacle, private_engine

__all__ = ["PrivateEngine", "obstacle", "private_engine"]
