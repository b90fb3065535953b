"""The service of a Swarm that runs one replica. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from pipeline.base.clock import Stamp
from pipeline.engine.labels import (
    LABEL_GRACE,
    LABEL_PIPELINE,
    LABEL_PREFIX,
    LABEL_RELEASE,
    LABEL_RUN,
    LABEL_SERVICE,
    LABEL_STARTED,
    LABEL_STOP_SIGNAL,
    LABEL_TEMPLATE,
)
from pipeline.engine.runtime import ReplicaSpec
from pipeline.engine.swarm.swarm import SwarmServiceSpec

LABEL_REPLICA = f"{LABEL_PREFIX}replica"
"""The name of the replica. A Swarm allows fewer characters in the names of services."""
LABEL_RESTART = f"{LABEL_PREFIX}restart"
"""The restart policy once it is set. Before, a task that ends is the end of the replica."""
LABEL_STOPPED = f"{LABEL_PREFIX}stopped"
"""Set by a stop."""
LABEL_PROBED = f"{LABEL_PREFIX}probed"
"""Set if the nodes check the health of the task."""
ZONE = "zone"
"""The label of a node that names its zone."""
_LONGEST_NAME = 63
_DIGEST = 8


def service_name(replica: str) -> str:
    """Return a name of a service for a replica: letters, digits and single hyphens, at most 63 characters."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", replica).strip("-")
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(replica.encode()).hexdigest()[:_DIGEST]
    return f"{name[: _LONGEST_NAME - _DIGEST - 1].rstrip('-')}-{digest}"


def replica_service(
    spec: ReplicaSpec, started: Stamp, *, probed: bool, avoided: Sequence[str] = ()
) -> SwarmServiceSpec:
    """Return the service for a replica. `probed`: the nodes check its health. `avoided` are host names of nodes."""
    labels = {
        LABEL_REPLICA: spec.name,
        LABEL_PIPELINE: spec.pipeline,
        LABEL_SERVICE: spec.service,
        LABEL_RELEASE: str(spec.release),
        LABEL_RUN: str(spec.run),
        LABEL_TEMPLATE: spec.template,
        LABEL_GRACE: str(spec.grace.total_seconds()),
        LABEL_STARTED: str(started),
        **({LABEL_STOP_SIGNAL: spec.options.stop_signal} if spec.options.stop_signal else {}),
        **({LABEL_PROBED: "true"} if probed else {}),
    }
    zone = (f"node.labels.{ZONE}=={spec.zone}",) if spec.zone else ()
    return SwarmServiceSpec(
        name=service_name(spec.name),
        labels=labels,
        replica=spec,
        constraints=(*spec.swarm.constraints, *zone, *(f"node.hostname!={name}" for name in avoided)),
        restart=spec.restart,
    )
