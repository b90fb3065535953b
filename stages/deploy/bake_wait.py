"""The wait of a deployment for a bake time, or the time of copies, which `pipeline promote` ends."""

from __future__ import annotations

from pipeline.base.clock import Clock
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.store.deployment_answers import DeploymentAnswers, DeploymentWait
from pipeline.store.deployment_progress import ServiceProgress, ShiftPhase
from pipeline.store.records import Deployment


class BakeWait:
    """The bake time of one step. It is stored at the first look, and found again after a kill, with its answer."""

    def __init__(
        self,
        answers: DeploymentAnswers,
        deployment: Deployment,
        progress: ServiceProgress,
        *,
        events: Events,
        clock: Clock,
    ) -> None:
        self._answers = answers
        self._deployment = deployment
        self._progress = progress
        self._events = events
        self._clock = clock
        self._wait: DeploymentWait | None = None
        self._is_promoted = False

    def is_promoted(self) -> bool:
        """Return whether a user has ended it. Emits an event the first time."""
        if self._wait is None:
            self._wait = self._begun()
        if self._is_promoted or (by := self._answers.promoted_by(self._wait)) is None:
            return self._is_promoted
        self._is_promoted = True
        service = self._progress.service
        text = f"{self._wait.description} of {service} was ended by {by}"
        self._events.emit(EventKind.DEPLOYMENT_CONTINUED, text, service=service, by=by)
        return True

    def end(self) -> None:
        """Store that the deployment continues."""
        if self._wait is not None:
            self._answers.end(self._wait)

    def _begun(self) -> DeploymentWait:
        progress = self._progress
        return self._answers.begin(
            self._deployment.id,
            progress.service,
            f"{progress.phase}[{progress.step}]",
            _description(progress),
            self._clock.now(),
        )


def _description(progress: ServiceProgress) -> str:
    if progress.phase is ShiftPhase.MIRROR:
        return "the mirroring"
    return f"the bake time at {progress.share:g} %" if progress.steps > 1 else "the bake time"
