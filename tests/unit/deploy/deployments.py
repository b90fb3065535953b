"""Deployments of the stage that is shipped, with a service whose steps fail on demand."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

from pipeline.api import Image, Revision, StageContext
from pipeline.balancer.waiting import WaitingListener
from pipeline.base.clock import SystemClock
from pipeline.config.load import load
from pipeline.config.release import ReleaseSpec
from pipeline.engine.cluster import ClusterSpec
from pipeline.store import records
from pipeline.store.records import DeploymentState, ReleaseState
from pipeline.testing.fakes.engine import FakeEngine
from stages.deploy.stage import DockerDeploy
from stages.deploy.stored_progress import StoredProgress

PIPELINE = """\
name: shop
deploy: {target_group: web, replicas: %d}
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""


class Killed(BaseException):
    """The process ends here."""


class Service:
    """A service whose steps can be told to raise.

    The steps that were taken are in `taken`, and the replicas of each rollout in `counts`.
    """

    def __init__(self) -> None:
        self.errors: dict[str, BaseException] = {}
        self.taken: list[str] = []
        self.counts: list[int] = []
        self.secrets = SimpleNamespace(resolve_all=dict)
        self.engine = FakeEngine()
        self.balancer = SimpleNamespace(
            waiting_after=lambda *_: self.waiting,
            waiting_listeners=lambda _: self.waiting,
            check=lambda *_: None,
            declaration=lambda _: None,
        )
        self.waiting: list[WaitingListener] = []
        self.hosts = SimpleNamespace(send_images=lambda _: None, forget=lambda **_: None, empty=list, engines={})
        self.cluster = SimpleNamespace(spec=ClusterSpec(), close=lambda: None)

    def step(self, name: str) -> None:
        """Note a step, and raise the error that it was given."""
        self.taken.append(name)
        if name in self.errors:
            raise self.errors[name]

    def roll_out(
        self,
        spec: ReleaseSpec,
        release: int,
        replicas: Mapping[str, int],
        cancelled: threading.Event | None = None,
        *,
        restarts: Collection[str] = (),
        stored: StoredProgress | None = None,
    ) -> None:
        """Put a release into service."""
        self.counts.append(replicas["web"])
        self.step(f"restart {release}" if restarts else f"to {release}")
        if error := self.errors.get(f"{replicas['web']} replicas"):
            raise error

    def fall_back(self) -> None:
        """Place replicas where they were before."""

    def clear(self) -> None:
        """Note that the network is removed."""
        self.taken.append("clear")

    def tear_down(self) -> int:
        """Remove everything."""
        self.step("tear down")
        return 3


def with_replicas(context: StageContext, replicas: int, deploy: str = "") -> StageContext:
    """Return the context with a pipeline.yaml of so many replicas. `deploy` are more keys of that section."""
    file = context.home.root / "pipeline.yaml"
    file.write_text((PIPELINE % replicas).replace("web,", f"web, {deploy}" if deploy else "web,", 1))
    return replace(context, configuration=load(file))


def deploy(context: StageContext, commit: str) -> records.Release:
    """Deploy a commit."""
    revision = Revision(commit * 40, "main", "Ann", "Say", SystemClock().now().wall, "/srv/a.git")
    return DockerDeploy().deploy(context, revision, Image(f"sha256:{commit}", f"shop:{commit}"))


def last(context: StageContext) -> tuple[DeploymentState, str]:
    """Return the state of the last deployment, and the reason."""
    return rows(context)[-1]


def rows(context: StageContext) -> list[tuple[DeploymentState, str]]:
    """Return the state and the reason of each deployment."""
    with closing(sqlite3.connect(context.home.database)) as db:
        found = db.execute("SELECT state, reason FROM deployments ORDER BY id").fetchall()
    return [(DeploymentState(state), reason) for state, reason in found]


def states(context: StageContext) -> list[ReleaseState]:
    """Return the state of each release, oldest first."""
    return [release.state for release in reversed(context.store.releases.all("shop"))]
