"""Commit statuses at GitHub."""

from __future__ import annotations

from pydantic import Field

from pipeline.reporters.commit_status import CommitStatus
from pipeline.reporters.http_post import post
from pipeline.reporters.options import Url
from pipeline.reporters.report import Report


class GitHub(CommitStatus):
    """GitHub, or a GitHub Enterprise Server."""

    api: Url = Field(
        "https://api.github.com", description="URL of the API. For an Enterprise Server: https://HOST/api/v3."
    )

    def set_status(self, report: Report, state: str, token: str) -> None:
        """Send `POST /repos/{owner}/{repo}/statuses/{sha}`."""
        post(
            f"{self.api}/repos/{self.repository}/statuses/{report.run.sha}",
            {"state": state, "context": self.label(report), **self.common_fields(report)},
            {
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
