"""The stored progress of one open deployment."""

from __future__ import annotations

from pipeline.store.deployment_progress import DeploymentProgress, ServiceProgress
from pipeline.store.records import Deployment


class StoredProgress:
    """How far the services of a deployment are, on disk."""

    def __init__(self, progress: DeploymentProgress, deployment: Deployment) -> None:
        self._progress = progress
        self._deployment = deployment

    def of(self, service: str) -> ServiceProgress | None:
        """Return the progress of a service, None if it has not begun to move."""
        return self._progress.of(self._deployment, service)

    def set(self, progress: ServiceProgress) -> None:
        """Store the progress of a service. On disk when this returns."""
        self._progress.set(self._deployment, progress)
