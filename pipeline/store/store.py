"""The database of one home, by noun."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pipeline.store.accessories import Accessories
from pipeline.store.changes import StoreChanges
from pipeline.store.clusters import Clusters
from pipeline.store.database import Database
from pipeline.store.deliveries import Deliveries
from pipeline.store.deployment_answers import DeploymentAnswers
from pipeline.store.deployment_evidence import DeploymentEvidence
from pipeline.store.deployment_progress import DeploymentProgress
from pipeline.store.deployments import Deployments
from pipeline.store.events import EventLog
from pipeline.store.history import History
from pipeline.store.images import Images
from pipeline.store.job_runs import JobRuns
from pipeline.store.pipelines import Pipelines
from pipeline.store.queue import RunQueue
from pipeline.store.refs import Refs
from pipeline.store.releases import Releases
from pipeline.store.runs import Runs
from pipeline.store.scaling import Scaling
from pipeline.store.services import Services
from pipeline.store.stacks import Stacks
from pipeline.store.transitions import Transitions
from pipeline.store.web_sessions import WebSessions


class Store:
    """Opens the database and holds its nouns.

    Safe to use from any thread. Any number of processes may have the same file open. Raises `StoreFault`.
    """

    def __init__(self, path: Path) -> None:
        self._db = Database(path)
        self.changes = StoreChanges(self._db)
        self.pipelines = Pipelines(self._db)
        self.runs = Runs(self._db)
        self.queue = RunQueue(self._db)
        self.releases = Releases(self._db)
        self.deployments = Deployments(self._db)
        self.progress = DeploymentProgress(self._db)
        self.deployment_answers = DeploymentAnswers(self._db)
        self.deployment_evidence = DeploymentEvidence(self._db)
        self.services = Services(self._db)
        self.scaling = Scaling(self._db)
        self.clusters = Clusters(self._db)
        self.events = EventLog(self._db)
        self.images = Images(self._db)
        self.history = History(self._db)
        self.refs = Refs(self._db)
        self.transitions = Transitions(self._db)
        self.deliveries = Deliveries(self._db)
        self.job_runs = JobRuns(self._db)
        self.stacks = Stacks(self._db)
        self.accessories = Accessories(self._db)
        self.web_sessions = WebSessions(self._db)

    @property
    def is_lost(self) -> bool:
        """True if the file was removed or replaced since it was opened. Every change is refused then."""
        return self._db.is_lost

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()
