"""What the forges have in common: the state of a run, shown beside its commit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from pipeline.reporters.options import Repository, Secret, Url
from pipeline.reporters.report import Report
from pipeline.reporters.reporter import Reporter, ResolveSecrets
from pipeline.store.records import RunKind, RunState

# What GitHub takes; the others take more.
_DESCRIPTION = 140

# GitHub's and Gitea's words. Neither knows a commit that was given up without being judged: `error` is not `failure`.
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
    """A forge. Commits of which nothing was built by the run, as in a rollback, keep their status."""

    needs_commit = True
    states: ClassVar[Mapping[RunState, str]] = STATES

    repository: Repository = Field(description="The repository there, as owner/name.")
    token: Secret = Field(description="A token that may set commit statuses. Write ${secret:NAME}.")
    context: str | None = Field(
        None, min_length=1, max_length=200, description="Names the status. None: penstock/ and the pipeline's name."
    )
    target_url: Url | None = Field(None, description="Where the status leads. `{run}` becomes the run's number.")

    def report(self, report: Report, reveal: ResolveSecrets) -> None:
        """Set the status of the run's commit."""
        state = self.states.get(report.state) if report.state else None
        if state and report.run.sha and report.run.kind is RunKind.RUN:
            self.set_status(report, state, reveal(self.token))

    @abstractmethod
    def set_status(self, report: Report, state: str, token: str) -> None:
        """Tell the forge, with one of `states`. Raises `DeliveryFailed`."""

    def label(self, report: Report) -> str:
        """The name under which a later status takes the place of this one."""
        return self.context or f"penstock/{report.run.pipeline}"

    def common_fields(self, report: Report) -> dict[str, str]:
        """What all forges call the same."""
        text = report.summary
        said = {"description": text if len(text) <= _DESCRIPTION else f"{text[: _DESCRIPTION - 1]}…"}
        if self.target_url:
            said["target_url"] = self.target_url.replace("{run}", str(report.run.number))
        return said
