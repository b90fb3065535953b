"""What the replicas of a service are made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.balancer import functions
from pipeline.balancer.model import NetworkTargetGroup, TargetGroup
from pipeline.balancer.model.protocol import transports
from pipeline.config.privileges import pids
from pipeline.config.service_spec import ServiceSpec
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy

# The program that runs a function, and its path in the container. Only the container imports it.
_RUNTIME_FILE, _FUNCTION_RUNTIME = Path(functions.__file__).with_name("runtime.py"), "/penstock/runtime.py"


def replica_spec(
    spec: ServiceSpec, *, pipeline: str, release: int, run: int, template: str, environment: Mapping[str, str]
) -> ReplicaSpec:
    """Return what each replica of a service is made from. `environment` has its secrets resolved."""
    service, group = spec.settings, spec.group
    return ReplicaSpec(
        pipeline=pipeline,
        release=release,
        run=run,
        template=template,
        image=spec.image_id,
        port=group.port if group else 0,
        **_program(spec),
        environment=environment,
        memory=service.memory,
        cpus=service.cpus,
        init=service.init,
        shm_size=service.shm_size,
        pids=pids(service.pids_limit),
        privileges=service.privileges,
        log=service.log_limit,
        grace=service.stop_grace,
        published=group is not None and group.target_type == "instance",
        forwarded=_forwarded(group) if group else (),
        # Requests to a service with a target group would miss the balancer, and fail while it drains.
        aliases=() if group else (spec.name,),
        probe=None if group else service.health_check.probe,
        options=service.container_options,
        restart=RestartPolicy(service.restart),
        swarm=service.swarm.options,
    )


def _forwarded(group: TargetGroup) -> tuple[str, ...]:
    """Return the protocols of what the kernel may forward to the targets of a group."""
    is_forwarded = isinstance(group, NetworkTargetGroup) and group.target_type == "ip" and group.protocol != "TLS"
    return tuple(sorted(transports(group.protocol))) if is_forwarded else ()


def _program(spec: ServiceSpec) -> dict[str, Any]:
    """Return the fields for the image's own program, or for a function and the runtime that calls it."""
    service = spec.settings
    if service.function is None or spec.group is None:
        return {"command": service.command, "entrypoint": service.entrypoint, "volumes": service.volumes}
    return {
        "entrypoint": ("python3", _FUNCTION_RUNTIME),
        "command": (service.function, str(spec.group.port)),
        "volumes": (*service.volumes, f"{_RUNTIME_FILE}:{_FUNCTION_RUNTIME}:ro"),
    }
