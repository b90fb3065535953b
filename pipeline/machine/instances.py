"""The containers of an owner, as instances of EC2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from pipeline.base.home import Home
from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.cluster_members import containers_of
from pipeline.engine.container import Container
from pipeline.engine.host import LOCAL
from pipeline.engine.labels import LABEL_RELEASE, LABEL_RUN, LABEL_SERVICE, LABEL_ZONE
from pipeline.network.attached import Instance

# A client of the API does not wait longer.
_SILENCE = timedelta(seconds=10)
# Labels that say what a container is for. The others are of no use to a client, or may be of another program.
_TAGS = {LABEL_SERVICE: "service", LABEL_RELEASE: "release", LABEL_RUN: "run"}


def containers(home: Home, clusters: Callable[[], Mapping[str, ClusterSpec]], owner: str) -> Sequence[Instance]:
    """Return the containers of a pipeline's releases. Raises `EngineFault`.

    `clusters` returns the cluster of each pipeline with hosts. Containers on a host have its address. Those on one
    that does not answer are left out.
    """
    cluster = clusters().get(owner, ClusterSpec())
    with containers_of(cluster, home.id, home.hosts, silence=_SILENCE) as found:
        return [_instance(owner, _reached(cluster, each)) for each in found.for_pipeline(owner)]


def _reached(cluster: ClusterSpec, container: Container) -> Container:
    """Return a container with the address at which this machine reaches it."""
    host = cluster.host(container.host)
    if host is None or host.spec.docker == LOCAL:
        return container
    return replace(container, address=host.spec.address)


def _instance(owner: str, container: Container) -> Instance:
    tags = {f"penstock:{name}": container.labels[label] for label, name in _TAGS.items() if label in container.labels}
    return Instance(
        id=container.name,
        image=container.image,
        address=container.address,
        state=container.state,
        started=container.created_at,
        zone=container.labels.get(LABEL_ZONE),
        tags={"penstock:pipeline": owner, **tags},
    )
