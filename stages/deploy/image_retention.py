"""Removal of old images. A failure to remove one does not fail a deployment that worked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from pipeline.api import StageContext
from pipeline.base.errors import SystemFault
from pipeline.engine.interfaces import Engine, Images
from pipeline.engine.lent_names import LentNames
from pipeline.event_kinds import EventKind
from pipeline.store.records import ReleaseState

_NO_HOSTS: Mapping[str, Engine] = MappingProxyType({})


def prune(context: StageContext, engine: Engine, keep: int, hosts: Mapping[str, Engine] = _NO_HOSTS) -> None:
    """Remove the pipeline's images, except those of the latest `keep` releases that were active.

    `hosts` are the engines of the hosts that answer. What is left on another one is removed after the first deployment
    that finds it back.
    """
    pipeline, store = context.configuration.pipeline.name, context.store
    served = [r for r in store.releases.all(pipeline) if r.state in (ReleaseState.ACTIVE, ReleaseState.RETIRED)]
    # After a rollback the active release is not the latest. It is always kept.
    kept = {r.image_id for r in served[:keep]} | {r.image_id for r in served if r.state is ReleaseState.ACTIVE}
    # A job that runs finishes with its release, which need not be the active one any more.
    releases = {run.release for run in store.job_runs.running(pipeline)}
    kept |= {r.image_id for r in store.releases.all(pipeline) if r.number in releases}
    try:
        # An image with a name that a killed push has left would never be removed.
        LentNames(engine.images, context.home, pipeline).restore(lambda: _working(context))
        for image in _unused(context, engine.images, kept):
            # Delete the cache row first, so no new run picks the image up. Runs that hold it keep it.
            store.images.delete(image)
            if image not in store.images.pinned(pipeline):
                engine.images.remove(image)
    except SystemFault as error:
        context.events.emit(EventKind.RETENTION_WARNING, f"an old image could not be removed: {error.message}")
    for host, other in hosts.items():
        try:
            for image in _unused(context, other.images, kept):
                if image not in store.images.pinned(pipeline):
                    other.images.remove(image)
        except SystemFault as error:
            text = f"an old image on host {host} could not be removed: {error.message}"
            context.events.emit(EventKind.RETENTION_WARNING, text)


def _unused(context: StageContext, images: Images, kept: Collection[str]) -> list[str]:
    """Return the images of an engine that neither a release nor a run in progress needs."""
    found = images.for_pipeline(context.configuration.pipeline.name)
    # Read after the list, so images that other runs build from now on are not in it.
    working = set(map(str, _working(context)))
    return [image for image, run in found.items() if image not in kept and run not in working]


def _working(context: StageContext) -> set[int]:
    """Return the runs of the pipeline in progress."""
    return {run.number for run in context.store.runs.running(context.configuration.pipeline.name)}
