"""Commit statuses at Gitea and Forgejo."""

from __future__ import annotations

from pydantic import Field

from pipeline.reporters.commit_status import CommitStatus
from pipeline.reporters.http_post import post
from pipeline.reporters.options import Url
from pipeline.reporters.report import Report


class Gitea(CommitStatus):
    """Gitea or Forgejo."""

    api: Url = Field("https://gitea.com/api/v1", description="URL of the API: https://HOST/api/v1.")

    def set_status(self, report: Report, state: str, token: str) -> None:
        """Send `POST /repos/{owner}/{repo}/statuses/{sha}`."""
        post(
            f"{self.api}/repos/{self.repository}/statuses/{report.run.sha}",
            {"state": state, "context": self.label(report), **self.common_fields(report)},
            {"Authorization": f"token {token}", "Accept": "application/json"},
        )
