"""The commits between two releases, as the stage Source knows them."""

from __future__ import annotations

from pipeline.api import Revision
from pipeline.base.errors import PenstockError
from pipeline.runner.context import PipelineContext
from pipeline.runner.stages import load_source


def gained(context: PipelineContext, old: str, new: str) -> list[Revision] | None:
    """Return the commits that `new` has and `old` has not, newest first. None if that is not known."""
    if old == new:
        return []
    stage_context = context.stage_context()
    try:
        # A stage of another package may be older than the method.
        found = getattr(load_source(stage_context.configuration), "gained", None)
        return found(stage_context, old, new) if found else None
    except PenstockError:
        # The repository has been moved, for example. The rest of the difference is known all the same.
        return None
