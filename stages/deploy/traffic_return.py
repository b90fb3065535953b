"""The return of all requests to the home groups, with nothing but the balancer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from pipeline.balancer.alternate import shares, with_shares
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import TargetState
from pipeline.base.errors import PenstockError
from pipeline.config.release import ReleaseSpec


def return_traffic(
    balancer: Balancer, pipeline: str, previous: ReleaseSpec, replicas: Mapping[str, int]
) -> tuple[str, ...]:
    """Give each home group all its requests again, if it has enough healthy targets for the `previous` release.

    Return the services that got them. This is the first step of a rollback. It needs neither Docker nor the store,
    which may be why the deployment has failed. Where it is not possible, the share stays until the rollback has started
    replicas.
    """
    # The rollback that follows meets the same fault, and reports it.
    with suppress(PenstockError):
        declared = balancer.declaration(pipeline)
        moved = [home for home, share in shares(declared).items() if share] if declared else []
        ready = [home for home in moved if _can_take(balancer, pipeline, home, previous, replicas)]
        if declared is not None and ready:
            balancer.apply(pipeline, with_shares(declared, dict.fromkeys(ready, 0.0)))
            return tuple(service for home in ready if (service := previous.service_of(home)))
    return ()


def _can_take(balancer: Balancer, pipeline: str, home: str, previous: ReleaseSpec, replicas: Mapping[str, int]) -> bool:
    service = previous.service_of(home)
    if service is None or service not in replicas:
        return False
    count = replicas[service]
    _, max_unavailable = previous.services[service].rolling.limits(count)
    healthy = sum(found.state is TargetState.HEALTHY for found in balancer.target_health(pipeline, home))
    return healthy >= max(1, count - max_unavailable)
