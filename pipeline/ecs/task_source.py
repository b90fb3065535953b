"""The stage Source of services: a revision of a task definition in place of a commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from pipeline.api import Checkout, NothingToDo, Plan, Revision, StageContext, Wanted
from pipeline.base.errors import ConfigError
from pipeline.base.watch import Watch
from pipeline.config.load import CommittedFile
from pipeline.ecs.records import TaskDefinition
from pipeline.ecs.store import EcsStore


@dataclass
class TaskCheckout:
    """A revision. It has no files, because its image is built elsewhere."""

    revision: Revision

    def tree(self, path: str) -> str:
        """Raise `ConfigError`: there is no folder."""
        raise ConfigError(f"a task definition has no folder {path}")

    def archive(self, path: str, ignored: Callable[[str], bool]) -> AbstractContextManager[IO[bytes]]:  # noqa: ARG002
        """Return an empty stream."""
        return nullcontext(BytesIO())

    def read(self, path: str) -> bytes | None:  # noqa: ARG002
        """Return None: there is no file."""
        return None


class TaskSource:
    """Finds the revision of the task definition that a service is asked to run."""

    def find(self, context: StageContext, wanted: Wanted) -> Checkout | NothingToDo:
        """Return the revision, or why it needs no run."""
        task = _task(context)
        revision = Revision(
            task.sha, task.label, task.owner, f"task definition {task.label}", task.created, source=task.arn
        )
        active = context.store.releases.active(context.configuration.pipeline.name)
        if not wanted.force and active is not None and active.sha == task.sha:
            return NothingToDo(revision, f"{task.label} is in service already")
        context.report(f"{task.label}, image {task.image}")
        return TaskCheckout(revision)

    def plan(self, context: StageContext, wanted: Wanted) -> Plan[Checkout]:
        """Return the revision."""
        found = self.find(context, wanted)
        return Plan([f"run {found.revision.ref}"], TaskCheckout(found.revision))

    def pipeline_file(self, context: StageContext, wanted: Wanted) -> CommittedFile | None:  # noqa: ARG002
        """Return None: the configuration is not part of a task definition."""
        return None

    def patterns(self, context: StageContext) -> list[str]:  # noqa: ARG002
        """Return no refs: a run is asked for by the stack."""
        return []

    def heads(self, context: StageContext, patterns: Sequence[str]) -> dict[str, str]:  # noqa: ARG002
        """Return no refs."""
        return {}

    def commits(self, context: StageContext, old: str | None, new: str) -> list[Revision]:  # noqa: ARG002
        """Return no commits."""
        return []

    def gained(self, context: StageContext, old: str, new: str) -> list[Revision] | None:  # noqa: ARG002
        """Return None: a revision has no commits."""
        return None

    def git_directory(self, context: StageContext) -> Path | None:  # noqa: ARG002
        """Return None: there is no repository."""
        return None

    def watch(self, context: StageContext, moved: Callable[[], None]) -> AbstractContextManager[Watch]:  # noqa: ARG002
        """Raise `ConfigError`: there is nothing to watch."""
        raise ConfigError("a task definition is not watched")


def _task(context: StageContext) -> TaskDefinition:
    pipeline = context.configuration.pipeline
    store = EcsStore(context.home.aws)
    service = store.of_pipeline(pipeline.name)
    task = store.task_definition(service.owner, pipeline.source.options["task_definition"]) if service else None
    if task is None:
        raise ConfigError(
            f"{pipeline.name} is no ECS service", hint="source._ecs is the source of services that stacks make"
        )
    return task
