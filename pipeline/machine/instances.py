"""The containers of an owner, as instances of EC2."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.base.home import Home
from pipeline.engine.container import Container
from pipeline.engine.hosts import local_engine
from pipeline.engine.labels import LABEL_RELEASE, LABEL_RUN, LABEL_SERVICE, LABEL_ZONE
from pipeline.network.attached import Instance

# Labels that say what a container is for. The others are of no use to a client, or may be of another program.
_TAGS = {LABEL_SERVICE: "service", LABEL_RELEASE: "release", LABEL_RUN: "run"}


def containers(home: Home, owner: str) -> Sequence[Instance]:
    """Return the containers of a pipeline's releases. Raises `EngineFault`."""
    with local_engine(home.id) as engine:
        return [_instance(owner, each) for each in engine.containers.for_pipeline(owner)]


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
