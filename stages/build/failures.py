"""The failures of tests, by the remedy that each needs."""

from __future__ import annotations

from pipeline.base.errors import StageFailed


class TestsFailed(StageFailed):
    """The tests ran, and failed or did not end."""

    __test__ = False


class ServiceFailed(StageFailed):
    """A service of the tests did not come up, or ended while they ran."""
