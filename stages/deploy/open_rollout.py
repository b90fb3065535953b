"""The rollout of a release with its connections, and the cluster that it is for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from pipeline.api import StageContext
from pipeline.balancer.planes import open_balancer
from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.clusters import with_addresses
from pipeline.engine.hosts import local_engine
from stages.deploy.host_images import HostImages
from stages.deploy.release_cluster import open_release_cluster
from stages.deploy.release_rollout import ReleaseRollout


def declared_cluster(context: StageContext) -> ClusterSpec:
    """Return where pipeline.yaml puts the replicas, with the addresses that it leaves out.

    Raises `EngineFault` if one cannot be found.
    """
    return with_addresses(context.configuration.pipeline.deploy.cluster)


def planned_cluster(context: StageContext) -> ClusterSpec:
    """Return the cluster as a deployment of pipeline.yaml would have it. Raises as `declared_cluster`."""
    return context.store.clusters.as_deployed(context.configuration.pipeline.name, declared_cluster(context))


@contextmanager
def open_rollout(context: StageContext, cluster: ClusterSpec | None = None) -> Iterator[ReleaseRollout]:
    """Connect to the engines of a cluster, by default that of the last successful deployment.

    The end of the block closes the connections.
    """
    cluster = cluster or context.store.clusters.of(context.configuration.pipeline.name)
    with local_engine(context.home.id) as engine:
        images = HostImages(context, engine)
        with closing(open_release_cluster(context, cluster, engine, images)) as opened:
            yield ReleaseRollout(context, engine, open_balancer(context.home.balancer), opened, images)
