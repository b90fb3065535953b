"""Removal of old images. A failure to remove one does not fail a deployment that worked."""

from __future__ import annotations

from pipeline.api import StageContext
from pipeline.base.errors import SystemFault
from pipeline.engine.interfaces import Engine
from pipeline.event_kinds import EventKind
from pipeline.store.records import ReleaseState


def prune(context: StageContext, engine: Engine, keep: int) -> None:
    """Remove the pipeline's images, except those of the latest `keep` releases that were active."""
    pipeline, store = context.configuration.pipeline.name, context.store
    served = [r for r in store.releases.all(pipeline) if r.state in (ReleaseState.ACTIVE, ReleaseState.RETIRED)]
    # After a rollback the active release is not the latest. It is always kept.
    kept = {r.image_id for r in served[:keep]} | {r.image_id for r in served if r.state is ReleaseState.ACTIVE}
    try:
        images = engine.images.for_pipeline(pipeline)
        # Read after the list, so images that other runs build from now on are not in it.
        working = {str(run.number) for run in store.runs.running(pipeline)}
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
