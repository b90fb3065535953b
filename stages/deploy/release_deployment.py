"""The deployment of a release, from its first event to its success or its rollback."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from pipeline.base.errors import PenstockError
from pipeline.config.release import ReleaseSpec
from pipeline.event_kinds import EventKind
from pipeline.store.records import Release
from stages.deploy.accessories import finish_accessories, start_accessories
from stages.deploy.deployment import Deployment
from stages.deploy.hooks import HookFailed
from stages.deploy.release_command import run_release_command
from stages.deploy.release_rollout import ReleaseRollout
from stages.deploy.summary import announcement


@dataclass(frozen=True)
class ReleaseDeployment:
    """A move from the `active` release to another, to other numbers of replicas, or to new replicas of it.

    `replicas` is the number of each service. Those of the services in `restarts` are replaced. `is_new`: the release
    comes from a run, so it moves by its strategies, and its accessories are started.
    """

    deployment: Deployment
    release: Release
    active: Release | None
    replicas: Mapping[str, int]
    restarts: Collection[str] = ()
    is_new: bool = False

    @cached_property
    def spec(self) -> ReleaseSpec:
        """What the release consists of."""
        return ReleaseSpec.parse(self.release.spec)

    def run(self, rollout: ReleaseRollout) -> None:
        """Deploy, and store the success. After an error, roll back and raise what follows from it."""
        self._announce(rollout)
        try:
            self._prepare(rollout)
        except PenstockError as error:
            self._fail(error, rollout, has_moved=False)
        try:
            self._move(rollout)
        except PenstockError as error:
            self._fail(error, rollout, has_moved=True)
        self.deployment.succeed()
        if self.is_new:
            finish_accessories(self.deployment.context)

    def _announce(self, rollout: ReleaseRollout) -> None:
        context, number = self.deployment.context, self.active.number if self.active else None
        text = announcement(self.release.number, number, self.spec, self.replicas, is_new=self.is_new)
        if self.deployment.is_resumed:
            context.events.emit(EventKind.DEPLOYMENT_RESUMED, f"continuing the deployment {text}")
        else:
            context.events.emit(EventKind.DEPLOYMENT_STARTED, text)
        for waiting in rollout.balancer.waiting_after(context.configuration.pipeline.name, self.spec.balancer):
            context.events.emit(EventKind.DEPLOYMENT_WARNING, str(waiting))

    def _prepare(self, rollout: ReleaseRollout) -> None:
        """Do what comes before the first container of the release."""
        context = self.deployment.context
        if self.is_new:
            start_accessories(context, rollout.engine)
        rollout.hosts.send_images(self.spec)
        if not self.deployment.is_resumed:
            run_release_command(context, rollout.engine, self.release, self.spec)

    def _move(self, rollout: ReleaseRollout) -> None:
        stored = self.deployment.stored if self.is_new else None
        cancelled = self.deployment.context.cancelled
        rollout.roll_out(
            self.spec, self.release.number, self.replicas, cancelled=cancelled, restarts=self.restarts, stored=stored
        )

    def _fail(self, error: PenstockError, rollout: ReleaseRollout, *, has_moved: bool) -> NoReturn:
        """Take the traffic back before anything else, report the failure, and roll back.

        If nothing `has_moved`, the active release stays as it is. A process that died may have moved something.
        """
        self.deployment.return_traffic(rollout.balancer)
        failure, context = self.deployment.explain(error), self.deployment.context
        text = f"release {self.release.number}: {failure.message}"
        abort = self.deployment.abort
        context.events.emit(EventKind.DEPLOYMENT_FAILED, text, **({"by": abort.by} if abort else {}))
        if not has_moved and self.active is not None and not self.deployment.is_resumed:
            self.deployment.fail(failure)
        # What a command or a hook has printed is in the log already.
        if has_moved and not isinstance(failure, HookFailed):
            for line in failure.tail:
                context.log.line("deploy", line)
        self.deployment.roll_back(failure, rollout)
