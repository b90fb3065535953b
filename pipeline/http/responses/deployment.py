"""A deployment in progress, as the control API and `--json` show it."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from pipeline.http.responses.body import Body
from pipeline.store.deployment_progress import ServiceProgress, ShiftPhase


class DeploymentAnswerResponse(Body):
    """The effect of an answer to the deployment in progress."""

    effect: str = Field(description="What the deployment does now.")


class ServiceProgressResponse(Body):
    """How far the deployment of a service is."""

    service: str = Field(description="The service.")
    strategy: str = Field(description="The strategy by which its traffic moves.")
    phase: ShiftPhase = Field(description="Current phase.")
    step: int | None = Field(description="The step of the strategy, from 1; null outside of the phase `shift`.")
    steps: int = Field(description="The number of steps.")
    share: float = Field(description="Percentage of the requests that the new release gets.")
    bake_time: float = Field(description="Seconds that the step lasts at least.")
    baked: float = Field(description="Seconds of these that are over. Up to 5 s more are not stored yet.")
    waits_for: str = Field(description="What the deployment of the service waits for, in words.")

    @classmethod
    def from_progress(cls, progress: ServiceProgress, waits_for: str) -> Self:
        """Return the stored progress as it is shown. `waits_for` is what the service waits for now."""
        return cls(
            service=progress.service,
            strategy=progress.strategy,
            phase=progress.phase,
            step=progress.step + 1 if progress.phase is ShiftPhase.SHIFT else None,
            steps=progress.steps,
            share=progress.share,
            bake_time=progress.bake_time.total_seconds(),
            baked=progress.baked.total_seconds(),
            waits_for=waits_for,
        )


class DeploymentResponse(Body):
    """A deployment in progress."""

    run: int = Field(description="The run that deploys.")
    from_release: int | None = Field(description="The active release; null before the first one.")
    to_release: int | None = Field(description="The new release; null for `pipeline down`.")
    strategy: str = Field(description="The strategy, or those of the services.")
    held: bool = Field(description="True if a process died in it, and a queued run continues it.")
    services: list[ServiceProgressResponse] = Field(description="The services that have begun to move traffic.")


class AlarmResponse(Body):
    """A condition of `rollback_on` in the open deployment."""

    service: str
    release: int
    condition: int = Field(description="Its place in the list of the service, from 1.")
    state: str = Field(description="OK, ALARM or INSUFFICIENT_DATA, as CloudWatch has them.")
    text: str = Field(description="Its numbers, and what it still needs.")
    needed: int | None = Field(description="About the number of requests until it can decide. None: not known.")
