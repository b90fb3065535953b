"""Clusters, task definitions and services on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.base.errors import ConfigError, StoreFault
from pipeline.base.files import FileStamp, file_stamp, make_folder, remove_drafts, write_atomically
from pipeline.base.lock import short_lock
from pipeline.ecs.records import Cluster, Declared, EcsState, Service, TaskDefinition
from pipeline.ecs.stack_pipeline import StackPipeline

_ADAPTER = TypeAdapter(EcsState)
Worked = Service | StackPipeline
R = TypeVar("R")


class EcsStore:
    """What ECS keeps in a home, in `ecs.json`. Safe to use from many threads and processes. Raises `StoreFault`.

    What a method has changed is on disk when it returns.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "ecs.json"
        self._lock = folder / "ecs.lock"
        self._known: tuple[FileStamp, EcsState] | None = None

    def stamp(self) -> FileStamp | None:
        """Return what changes with the file, None if there is none. Cheap enough to call every second."""
        return file_stamp(self.file)

    def read(self) -> EcsState:
        """Return everything. Takes no lock."""
        stamp, known = self.stamp(), self._known
        if stamp is None:
            return EcsState()
        if known is None or known[0] != stamp:
            # Read after its stamp was taken: if it changes in between, it is read once more.
            known = self._known = (stamp, self._read())
        return known[1]

    def change(self, change: Callable[[EcsState], tuple[EcsState, R]]) -> R:
        """Replace everything by what `change` makes of it, and return its second result.

        If `change` raises, nothing has changed. Changes at the same time follow one another.
        """
        try:
            make_folder(self.file.parent)
            with short_lock(self._lock):
                remove_drafts(self.file)
                before = self._read()
                after, result = change(before)
                if after != before:
                    write_atomically(self.file, _ADAPTER.dump_json(after, indent=1))
                return result
        except OSError as error:
            raise StoreFault(f"cannot write {self.file}: {error.strerror}") from error

    def put_cluster(self, cluster: Cluster) -> None:
        """Add a cluster, or replace the one of its token. Raises `ConfigError` if its name is taken."""
        self._put("clusters", "AWS::ECS::Cluster", cluster, cluster.name)

    def put_service(self, service: Service) -> None:
        """Add a service, or replace the one of its token. Raises `ConfigError` if its name is taken."""
        self._put("services", "AWS::ECS::Service", service, service.name)

    def put_declared(self, declared: Declared) -> None:
        """Add a resource that is only kept, or replace that of its token. Raises `ConfigError` if its id is taken."""
        self._put("declared", declared.type, declared, declared.arn)

    def _put(self, field: str, kind: str, new: Cluster | Service | Declared, name: str) -> None:
        def put(state: EcsState) -> tuple[EcsState, None]:
            known = getattr(state, field)
            same = next((each for each in known if (each.owner, each.arn) == (new.owner, new.arn)), None)
            if same is not None and same.token != new.token:
                raise ConfigError(f"Resource of type '{kind}' with identifier '{name}' already exists.")
            return replace(state, **{field: (*(each for each in known if each is not same), new)}), None

        self.change(put)

    def _put_pipeline(self, new: StackPipeline) -> None:
        def put(state: EcsState) -> tuple[EcsState, None]:
            same = next((each for each in state.pipelines if each.pipeline == new.pipeline), None)
            if same is not None and same.token != new.token:
                raise ConfigError(f"the pipeline {new.pipeline} already exists: the stack {same.stack} has made it")
            return replace(state, pipelines=(*(p for p in state.pipelines if p is not same), new)), None

        self.change(put)

    def declared(self, owner: str, key: str) -> Declared | None:
        """Return a resource that is only kept, by its id or token."""
        return next((d for d in self.read().declared if d.owner == owner and key in (d.arn, d.token)), None)

    def drop(self, owner: str, arn: str) -> None:
        """Remove the cluster, service or other resource of an ARN, if there is any."""
        key = (owner, arn)
        self.change(
            lambda state: (
                replace(
                    state,
                    clusters=tuple(c for c in state.clusters if (c.owner, c.arn) != key),
                    services=tuple(s for s in state.services if (s.owner, s.arn) != key),
                    declared=tuple(d for d in state.declared if (d.owner, d.arn) != key),
                    pipelines=tuple(p for p in state.pipelines if (p.owner, p.arn) != key),
                ),
                None,
            )
        )

    def add_task_definition(self, draft: TaskDefinition) -> TaskDefinition:
        """Add a revision with the next number of its family. With a token that was used, return what that one made."""

        def add(state: EcsState) -> tuple[EcsState, TaskDefinition]:
            own = [t for t in state.task_definitions if t.owner == draft.owner]
            if found := next((t for t in own if t.token == draft.token), None):
                return state, found
            numbers = (t.revision for t in own if (t.region, t.family) == (draft.region, draft.family))
            made = replace(draft, revision=max(numbers, default=0) + 1)
            return replace(state, task_definitions=(*state.task_definitions, made)), made

        return self.change(add)

    def retag(self, owner: str, arn: str, properties: Mapping[str, Any]) -> TaskDefinition | None:
        """Replace the properties of a revision that are written in templates. Return it, None if it is not active."""
        changed = self._change_task(owner, arn, lambda task: replace(task, properties=properties))
        return changed if changed and changed.active else None

    def deactivate(self, owner: str, arn: str) -> None:
        """Make a revision inactive. Its number is not given again, and services that use it keep it.

        Inactive revisions that no service uses are forgotten, except the latest of each family.
        """
        self._change_task(owner, arn, lambda task: replace(task, active=False))
        self.change(lambda state: (_without_unused(state), None))

    def cluster(self, owner: str, region: str, key: str) -> Cluster | None:
        """Return a cluster of a region by its name, ARN or token."""
        own = (c for c in self.read().clusters if (c.owner, c.region) == (owner, region))
        return next((c for c in own if key in (c.name, c.arn, c.token)), None)

    def task_definition(self, owner: str, key: str, region: str | None = None) -> TaskDefinition | None:
        """Return a revision by its ARN, or in a region by FAMILY:REVISION, or the latest active one of a family."""
        own = [t for t in self.read().task_definitions if t.owner == owner]
        local = [t for t in own if t.region == region]
        found = next((t for t in own if t.arn == key), None) or next((t for t in local if t.label == key), None)
        return found or max((t for t in local if t.family == key and t.active), key=lambda t: t.revision, default=None)

    def of_sha(self, owner: str, sha: str) -> TaskDefinition | None:
        """Return the revision of a commit's id."""
        return next((t for t in self.read().task_definitions if (t.owner, t.sha) == (owner, sha)), None)

    def service(self, owner: str, key: str) -> Service | None:
        """Return a service by its ARN or token."""
        return next((s for s in self.read().services if s.owner == owner and key in (s.arn, s.token)), None)

    def pipeline(self, owner: str, key: str) -> StackPipeline | None:
        """Return a pipeline of a stack by its name or token."""
        return next((p for p in self.read().pipelines if p.owner == owner and key in (p.pipeline, p.token)), None)

    def current(self, known: Worked) -> Worked | None:
        """Return a service or a pipeline as it is kept now, or None."""
        find = self.pipeline if isinstance(known, StackPipeline) else self.service
        return find(known.owner, known.arn)

    def put(self, new: Worked) -> None:
        """Add a service or a pipeline, or replace the one of its token. Raises `ConfigError` if its name is taken."""
        if isinstance(new, StackPipeline):
            self._put_pipeline(new)
        else:
            self.put_service(new)

    def of_pipeline(self, pipeline: str) -> Service | None:
        """Return the service whose pipeline has this name."""
        return next((s for s in self.read().services if s.pipeline == pipeline), None)

    def _change_task(
        self, owner: str, arn: str, change: Callable[[TaskDefinition], TaskDefinition]
    ) -> TaskDefinition | None:
        def apply(state: EcsState) -> tuple[EcsState, TaskDefinition | None]:
            after = [change(t) if (t.owner, t.arn) == (owner, arn) else t for t in state.task_definitions]
            found = next((t for t in after if (t.owner, t.arn) == (owner, arn)), None)
            return replace(state, task_definitions=tuple(after)), found

        return self.change(apply)

    def _read(self) -> EcsState:
        try:
            return _ADAPTER.validate_json(self.file.read_bytes())
        except FileNotFoundError:
            return EcsState()
        except (OSError, ValidationError) as error:
            raise StoreFault(f"cannot read {self.file}: {error}") from error


def _without_unused(state: EcsState) -> EcsState:
    used = {(service.owner, service.wanted.task_definition) for service in state.services}
    latest = {(t.owner, t.region, t.family): t.revision for t in sorted(state.task_definitions, key=_revision)}
    kept = (
        t
        for t in state.task_definitions
        if t.active or (t.owner, t.arn) in used or latest[t.owner, t.region, t.family] == t.revision
    )
    return replace(state, task_definitions=tuple(kept))


def _revision(task: TaskDefinition) -> int:
    return task.revision
