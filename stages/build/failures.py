"""The failures of tests, by whether a retry may help."""

from __future__ import annotations

from pipeline.base.errors import StageFailed


class TestsFailed(StageFailed):
    """The tests failed or exceeded their timeout."""

    __test__ = False


class ServiceFailed(StageFailed):
    """A service of the tests did not become ready, or exited while they ran."""
