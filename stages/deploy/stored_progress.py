"""The stored progress of one open deployment."""

from __future__ import annotations

from pipeline.base.clock import Clock
from pipeline.events import Events
from pipeline.store.deployment_answers import DeploymentAnswers
from pipeline.store.deployment_progress import DeploymentProgress, ServiceProgress
from pipeline.store.records import Deployment
from stages.deploy.bake_wait import BakeWait


class StoredProgress:
    """How far the services of a deployment are, on disk."""

    def __init__(
        self, progress: DeploymentProgress, deployment: Deployment, answers: DeploymentAnswers | None = None
    ) -> None:
        self._progress = progress
        self._deployment = deployment
        self._answers = answers

    def of(self, service: str) -> ServiceProgress | None:
        """Return the progress of a service, None if it has not begun to move."""
        return self._progress.of(self._deployment, service)

    def set(self, progress: ServiceProgress) -> None:
        """Store the progress of a service. On disk when this returns."""
        self._progress.set(self._deployment, progress)

    def was_promoted(self, service: str) -> bool:
        """Return whether a user has ended a bake time of a service, in this step or an earlier one."""
        return self._answers is not None and self._answers.has_promoted_bake(self._deployment.id, service)

    def bake_wait(self, progress: ServiceProgress, events: Events, clock: Clock) -> BakeWait | None:
        """Return what lets a user end the bake time of a step. None without a bake time."""
        if self._answers is None or not progress.bake_time:
            return None
        return BakeWait(self._answers, self._deployment, progress, events=events, clock=clock)
