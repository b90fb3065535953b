"""The plan of a run or of a rollback, as the control API and `--json` show it."""

from __future__ import annotations

from pydantic import Field

from pipeline.http.responses.body import Body


class PlanResponse(Body):
    """The steps of a run, by stage, each in the order in which they would be done."""

    source: list[str] = Field(description="The commit, and whether it would be skipped.")
    build: list[str] = Field(description="What would be built and tested.")
    deploy: list[str] = Field(
        description="What would be started, drained and stopped, and at the end the lowest number of healthy targets."
    )


class RollbackPlanResponse(Body):
    """The steps of a rollback, in the order in which they would be done."""

    release: int = Field(description="The release that would be active.")
    deploy: list[str] = Field(
        description="What would be started, drained and stopped, and at the end the lowest number of healthy targets."
    )
    facts: list[str] = Field(description="The lines of `deploy` that are no steps, such as that number.")
