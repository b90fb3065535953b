"""What can go wrong with the tests, told apart by what helps against it."""

from __future__ import annotations

from pipeline.base.errors import StageFailed


class TestsFailed(StageFailed):
    """The tests ran, and failed or did not end."""

    __test__ = False


class ServiceFailed(StageFailed):
    """What the tests need beside them did not come up, or ended while they ran."""
