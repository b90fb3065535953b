"""Commit statuses at GitLab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote

from pydantic import Field

from pipeline.reporters.commit_status import CommitStatus
from pipeline.reporters.http_post import post
from pipeline.reporters.options import Url
from pipeline.reporters.report import Report
from pipeline.reporters.reporter import DeliveryFailed
from pipeline.store.records import RunState


class GitLab(CommitStatus):
    """GitLab, hosted or self-managed."""

    states: ClassVar[Mapping[RunState, str]] = {
        RunState.QUEUED: "pending",
        RunState.RUNNING: "running",
        RunState.SUCCEEDED: "success",
        RunState.SKIPPED: "success",
        RunState.FAILED: "failed",
        RunState.ROLLED_BACK: "failed",
        RunState.ROLLBACK_FAILED: "failed",
        RunState.CANCELLED: "canceled",
        RunState.SUPERSEDED: "canceled",
        RunState.INTERRUPTED: "canceled",
    }

    api: Url = Field("https://gitlab.com/api/v4", description="URL of the API: https://HOST/api/v4.")

    def set_status(self, report: Report, state: str, token: str) -> None:
        """Send `POST /projects/{id}/statuses/{sha}` with the repository's path as the id."""
        try:
            post(
                f"{self.api}/projects/{quote(self.repository, safe='')}/statuses/{report.run.sha}",
                {"state": state, "name": self.label(report), **self.common_fields(report)},
                {"PRIVATE-TOKEN": token},
            )
        except DeliveryFailed as error:
            # The status has that state already: a response was lost, or another run of the commit set it first.
            if "Cannot transition status" not in str(error):
                raise
