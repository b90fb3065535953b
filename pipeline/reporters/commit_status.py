"""Commit statuses: the base of the forges' reporters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from pipeline.reporters.options import Repository, Secret, Url
from pipeline.reporters.report import Report
from pipeline.reporters.reporter import Reporter, ResolveSecrets
from pipeline.store.records import RunKind, RunState

# GitHub's limit. The other forges accept more.
_MAX_DESCRIPTION = 140

# The states of GitHub and Gitea. Neither has one for a cancelled run, so it is `error`, which differs from `failure`.
STATES: Mapping[RunState, str] = {
    RunState.QUEUED: "pending",
    RunState.RUNNING: "pending",
    RunState.SUCCEEDED: "success",
    RunState.SKIPPED: "success",
    RunState.FAILED: "failure",
    RunState.ROLLED_BACK: "failure",
    RunState.ROLLBACK_FAILED: "error",
    RunState.CANCELLED: "error",
    RunState.SUPERSEDED: "error",
    RunState.INTERRUPTED: "error",
}


class CommitStatus(Reporter):
    """A forge. Runs that build nothing, such as a rollback, do not change the status of a commit."""

    needs_commit = True
    states: ClassVar[Mapping[RunState, str]] = STATES

    repository: Repository = Field(description="Repository at the forge, as owner/name.")
    token: Secret = Field(description="Token with the right to set commit statuses. Write ${secret:NAME}.")
    context: str | None = Field(
        None, min_length=1, max_length=200, description="Name of the status. None: penstock/ and the pipeline's name."
    )
    target_url: Url | None = Field(None, description="Link of the status. `{run}` is replaced by the run's number.")

    def report(self, report: Report, reveal: ResolveSecrets) -> None:
        """Set the status of the run's commit."""
        state = self.states.get(report.state) if report.state else None
        if state and report.run.sha and report.run.kind is RunKind.RUN:
            self.set_status(report, state, reveal(self.token))

    @abstractmethod
    def set_status(self, report: Report, state: str, token: str) -> None:
        """Set the status at the forge to one of `states`. Raises `DeliveryFailed`."""

    def label(self, report: Report) -> str:
        """Return the name of the status. A later status with the same name replaces it."""
        return self.context or f"penstock/{report.run.pipeline}"

    def common_fields(self, report: Report) -> dict[str, str]:
        """Return the fields that have the same name at all forges."""
        text = report.summary
        fields = {"description": text if len(text) <= _MAX_DESCRIPTION else f"{text[: _MAX_DESCRIPTION - 1]}…"}
        if self.target_url:
            fields["target_url"] = self.target_url.replace("{run}", str(report.run.number))
        return fields
