"""The connections to the hosts of a pipeline, whose changes become events."""

from __future__ import annotations

from contextlib import suppress

from pipeline.api import StageContext
from pipeline.base.errors import StoreFault
from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.clusters import open_cluster
from pipeline.engine.interfaces import Engine
from pipeline.engine.open_cluster import OpenCluster
from pipeline.engine.reachable_host import HostChange
from pipeline.engine.runtime import ReplicaSpec
from pipeline.event_kinds import EventKind
from stages.deploy.host_images import HostImages


def open_release_cluster(
    context: StageContext, cluster: ClusterSpec, engine: Engine, images: HostImages
) -> OpenCluster:
    """Open a cluster. The caller closes it. `engine` is the local one, and stays open.

    A host gets its image before a replica starts there, if it lacks it.
    """

    def tell(change: HostChange) -> None:
        # The change is what counts, also if the disk is full.
        with suppress(StoreFault):
            _emit(context, change)

    def send_image(host: str, target: Engine, spec: ReplicaSpec) -> None:
        images.send_before_start(host, target, spec.image)

    home = context.home
    return open_cluster(cluster, home.id, home.hosts, local=engine, on_change=tell, before_start=send_image)


def _emit(context: StageContext, change: HostChange) -> None:
    if change.is_lost:
        context.events.emit(EventKind.HOST_LOST, change.text, host=change.host, reason=change.reason)
    else:
        context.events.emit(EventKind.HOST_RETURNED, change.text, host=change.host)
