"""Penstock::Pipeline::Pipeline: a pipeline with its balancer, in the words of pipeline.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import ConfigDict

from pipeline.base.schema import Model
from pipeline.ecs.ecs import Ecs
from pipeline.ecs.stack_pipeline import StackPipeline, pipeline_text
from pipeline.stacks.provider import Pending, StackContext, State, short_name

TYPE = "Penstock::Pipeline::Pipeline"
_MAX_NAME = 32
# A run has deadlines of its own, for its build and its deployment. It may also wait for an approval.
_TIMEOUT = timedelta(days=1)


class PipelineProperties(Model):
    """The keys of a pipeline.yaml, which are checked as those of a file are."""

    model_config = ConfigDict(extra="allow")


class Pipeline:
    """Makes pipelines. `Ref` is the name.

    Create and update are pending until a run has deployed the branch's latest commit. The daemon serves the pipeline as
    those of files, so it deploys later commits too. One whose run fails has put the release of before back.
    """

    properties = PipelineProperties
    replaces = frozenset({"name"})

    def __init__(self, ecs: Ecs, context: StackContext) -> None:
        self._ecs = ecs
        self._context = context

    def create(self, token: str, properties: PipelineProperties) -> State | Pending:
        """Run the pipeline, and wait for the end."""
        given = _given(properties)
        name = given.get("name") or short_name(token, _MAX_NAME)
        return self._apply(str(name), token, given)

    def find(self, token: str) -> str | None:
        """Find a pipeline by its token."""
        found = self._ecs.store.pipeline(self._context.owner, token)
        return found.pipeline if found else None

    def read(self, physical_id: str) -> State | None:
        """Return the pipeline with the keys of its pipeline.yaml as it is now."""
        found = self._ecs.store.pipeline(self._context.owner, physical_id)
        return self._state(found, found.actual_properties(self._ecs.home)) if found else None

    def update(
        self,
        physical_id: str,
        before: PipelineProperties,  # noqa: ARG002
        after: PipelineProperties,
    ) -> State | Pending:
        """Run the pipeline as it is now, and wait for the end."""
        known = self._ecs.store.pipeline(self._context.owner, physical_id)
        return self._apply(physical_id, known.token if known else physical_id, _given(after))

    def delete(self, physical_id: str) -> Pending | None:
        """Drain and remove everything of the pipeline, as `pipeline down` does."""
        found = self._ecs.store.pipeline(self._context.owner, physical_id)
        doing = self._ecs.services.remove(found) if found else None
        return Pending(doing, timeout=_TIMEOUT) if doing else None

    def _apply(self, name: str, token: str, given: Mapping[str, Any]) -> State | Pending:
        text = pipeline_text(given, name, self._context.folder)
        wanted = StackPipeline(self._context.owner, self._context.name, name, token, text, given)
        doing = self._ecs.services.apply(wanted)
        return Pending(doing, name, timeout=_TIMEOUT) if doing else self._state(wanted, given)

    def _state(self, found: StackPipeline, properties: Mapping[str, Any]) -> State:
        attributes = {"Name": found.pipeline, "File": str(found.file(self._ecs.home))}
        return State(found.pipeline, attributes, properties)


def _given(properties: PipelineProperties) -> dict[str, Any]:
    return properties.model_dump(mode="json", exclude_unset=True)
