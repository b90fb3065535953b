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
    """GitLab, hosted or your own."""

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

    api: Url = Field("https://gitlab.com/api/v4", description="The API: https://HOST/api/v4.")

    def set_status(self, report: Report, state: str, token: str) -> None:
        """`POST /projects/{id}/statuses/{sha}`, with the repository's path as its id."""
        try:
            post(
                f"{self.api}/projects/{quote(self.repository, safe='')}/statuses/{report.run.sha}",
                {"state": state, "name": self.label(report), **self.common_fields(report)},
                {"PRIVATE-TOKEN": token},
            )
        except DeliveryFailed as error:
            # It is in that state already: an answer was lost, or another run of the commit was quicker.
            if "Cannot transition status" not in str(error):
                raise
