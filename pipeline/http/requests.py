"""What the control API accepts."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.store.records import RunKind


class Body(BaseModel):
    """The JSON of a request. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SubmitRun(Body):
    """Ask for a run."""

    kind: RunKind = Field(RunKind.RUN, description="What it does.")
    requested: str | None = Field(
        None, max_length=1000, description="A branch, tag or commit; for a rollback, the release. None: the usual one."
    )
    parameters: dict[str, str] = Field({}, description="Values of the pipeline's parameters.")
    force: bool = Field(False, description="Run though nothing under source.paths changed.")
    configuration: Literal["file", "commit"] = Field(
        "commit", description="Whose pipeline.yaml counts: the served file as it is, or the commit's own."
    )

    @model_validator(mode="after")
    def _names_what_it_can(self) -> Self:
        if self.kind is RunKind.ROLLBACK and not (self.requested or "1").isdecimal():
            raise ValueError("a rollback is to a release: its number")
        return self


class DecideApproval(Body):
    """Answer a run that waits for approval."""

    granted: bool = Field(description="Whether it may be deployed.")
    by: str = Field(min_length=1, max_length=200, description="Who says so.")
    comment: str = Field("", max_length=1000, description="Why.")


class DisableTransition(Body):
    """Let no run into a stage."""

    reason: str = Field(min_length=1, max_length=1000, description="Why no run may enter it.")
