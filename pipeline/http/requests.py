"""Request models of the control API."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipeline.base.printable import has_controls
from pipeline.base.whole_number import whole_number
from pipeline.store.records import RunKind, is_scale


def _without_controls(text: str) -> str:
    if has_controls(text):
        raise ValueError("must not contain control characters")
    return text


Line = Annotated[str, AfterValidator(_without_controls)]
"""One line of text that is shown to others."""


Actor = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_without_controls)]
"""The name of a user who acts, as the events show it."""

API_USER = "api"
"""The actor of a request that names none."""


class Body(BaseModel):
    """The JSON body of a request. Unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SubmitRun(Body):
    """A request to queue a run."""

    kind: RunKind = Field(RunKind.RUN, description="The work of the run.")
    requested: Line | None = Field(
        None,
        max_length=1000,
        description="A branch, tag or commit. For a rollback, a release; to scale, `SERVICE=REPLICAS`; to restart, a "
        "service; to drain, a host. Default: the usual branch, release or service.",
    )
    parameters: dict[str, str] = Field({}, description="Values of the pipeline's parameters.")
    force: bool = Field(False, description="Run even if no file under source.paths changed.")
    pull: bool = Field(False, description="Pull base images and other images again.")
    no_cache: bool = Field(False, description="Build without the cache, and test again.")
    configuration: Literal["file", "commit"] = Field(
        "commit", description="The pipeline.yaml of the run: the file of the daemon, or the one in the commit."
    )
    strict: bool = Field(
        False, description="Refuse the run if the file of the daemon is invalid now. Else it runs as it was before."
    )
    by: Actor = Field(API_USER, description="The user who requests it.")

    @model_validator(mode="after")
    def _check_release(self) -> Self:
        if self.kind is RunKind.ROLLBACK and self.requested and not whole_number(self.requested):
            raise ValueError("requested: must be a release number for a rollback")
        if self.kind is RunKind.SCALE and not is_scale(self.requested or ""):
            raise ValueError("requested: must have the form SERVICE=REPLICAS to scale, such as web=5")
        if self.kind is RunKind.DRAIN and not self.requested:
            raise ValueError("requested: must be the name of a host to drain")
        return self


class ActOnRun(Body):
    """A request to cancel or to retry a run."""

    by: Actor = Field(API_USER, description="The user who requests it.")


class Act(Body):
    """A request to act."""

    by: Actor = Field(API_USER, description="The user who acts.")


class ActOnAccessory(Act):
    """A request to act on an accessory."""

    backup: Line | None = Field(None, max_length=200, description="The name of the backup that is restored.")


class DecideApproval(Body):
    """A decision about a run that waits for approval."""

    granted: bool = Field(description="True to approve the run, false to reject it.")
    by: Actor = Field(description="The user who decides.")
    comment: Line = Field("", max_length=1000, description="The reason.")


class AnswerDeployment(Body):
    """An answer to the deployment in progress."""

    by: Actor = Field(description="The user who answers.")
    service: Line | None = Field(None, max_length=100, description="The service. Required only if several wait.")
    comment: Line = Field("", max_length=1000, description="The reason of an abort.")


class DisableTransition(Body):
    """A request to disable the transition into a stage."""

    reason: Line = Field(min_length=1, max_length=1000, description="The reason, shown to waiting runs.")
    by: Actor = Field(API_USER, description="The user who disables it.")


class EnableTransition(Body):
    """A request to enable the transition into a stage."""

    by: Actor = Field(API_USER, description="The user who enables it.")
