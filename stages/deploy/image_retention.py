"""Removal of old images. A failure to remove one does not fail a deployment that worked."""

from __future__ import annotations

from pipeline.api import StageContext
from pipeline.base.errors import SystemFault
from pipeline.engine.interfaces import Engine
from pipeline.engine.lent_names import LentNames
from pipeline.event_kinds import EventKind
from pipeline.store.records import ReleaseState


def prune(context: StageContext, engine: Engine, keep: int) -> None:
    """Remove the pipeline's images, except those of the latest `keep` releases that were active."""
    pipeline, store = context.configuration.pipeline.name, context.store
    served = [r for r in store.releases.all(pipeline) if r.state in (ReleaseState.ACTIVE, ReleaseState.RETIRED)]
    # After a rollback the active release is not the latest. It is always kept.
    kept = {r.image_id for r in served[:keep]} | {r.image_id for r in served if r.state is ReleaseState.ACTIVE}
    try:
        # An image with a name that a killed push has left would never be removed.
        LentNames(engine.images, context.home, pipeline).restore(lambda: _working(context))
        images = engine.images.for_pipeline(pipeline)
        # Read after the list, so images that other runs build from now on are not in it.
        working = set(map(str, _working(context)))
        # A job that runs finishes with its release, which need not be the active one any more.
        releases = {run.release for run in store.job_runs.running(pipeline)}
        kept |= {r.image_id for r in store.releases.all(pipeline) if r.number in releases}
        for image, run in images.items():
            if image in kept or run in working:
                continue
            # Delete the cache row first, so no new run picks the image up. Runs that hold it keep it.
            store.images.delete(image)
            if image not in store.images.pinned(pipeline):
                engine.images.remove(image)
    except SystemFault as error:
        context.events.emit(EventKind.RETENTION_WARNING, f"an old image could not be removed: {error.message}")


def _working(context: StageContext) -> set[int]:
    """Return the runs of the pipeline in progress."""
    return {run.number for run in context.store.runs.running(context.configuration.pipeline.name)}
