"""Which images are kept. Never those of others, and never at the price of a deployment that worked."""

from __future__ import annotations

from pipeline.api import StageContext
from pipeline.base.errors import SystemFault
from pipeline.engine.interfaces import Engine
from pipeline.event_kinds import EventKind
from pipeline.store.records import ReleaseState


def prune(context: StageContext, engine: Engine, keep: int) -> None:
    """Remove the pipeline's images but those of the latest `keep` releases that served."""
    pipeline, store = context.configuration.pipeline.name, context.store
    served = [r for r in store.releases.all(pipeline) if r.state in (ReleaseState.ACTIVE, ReleaseState.RETIRED)]
    # A release that was rolled back to is older than its number says; the active one is kept whatever its age.
    kept = {r.image_id for r in served[:keep]} | {r.image_id for r in served if r.state is ReleaseState.ACTIVE}
    try:
        images = engine.images.for_pipeline(pipeline)
        # Asked for after they were listed: what another run builds from now on is not among them.
        working = {str(run.number) for run in store.runs.running(pipeline)}
        for image, run in images.items():
            if image in kept or run in working:
                continue
            # Forgotten first, so that no run takes it up from here on; one that has held it already keeps it.
            store.images.delete(image)
            if image not in store.images.pinned(pipeline):
                engine.images.remove(image)
    except SystemFault as error:
        context.events.emit(EventKind.RETENTION_WARNING, f"an old image could not be removed: {error.message}")
