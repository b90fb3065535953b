"""The metrics of a service by which it is scaled, of the time since they were read last."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from pipeline.balancer.access import target_group_name
from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.model import (
    ApplicationTargetGroup,
    GatewayTargetGroup,
    NetworkTargetGroup,
    SharedGroup,
    TargetState,
)
from pipeline.balancer.telemetry.group_load import GroupLoads
from pipeline.base.errors import EngineFault
from pipeline.config.release import ReleaseSpec
from pipeline.config.service_spec import ServiceSpec
from pipeline.daemon.cluster_containers import ClusterContainers
from pipeline.engine.container import Container, ContainerHealth
from pipeline.engine.labels import LABEL_SERVICE
from pipeline.scaling.percentile import percentile
from pipeline.scaling.policy import ScalingTarget

if TYPE_CHECKING:
    from pipeline.engine.interfaces import CpuTime, ExistingContainers

_MINUTE = 60
# Docker reads the CPU time of a container once a second, so one after the other would take as many seconds.
_MAX_PARALLEL_READS = 16


@dataclass(frozen=True, kw_only=True)
class ServiceMetrics:
    """Metrics as in `Observation`. `new` is the number of replicas that have not been healthy yet."""

    serving: int
    new: int = 0
    held: int = 0
    requests: float | None = None
    connections: float | None = None
    cpu: float | None = None
    response_time: float | None = None


class MetricSource(Protocol):
    """Reads the metrics of the services of one pipeline. For one thread at a time."""

    def read(self, spec: ReleaseSpec, service: str, target: ScalingTarget | None) -> ServiceMetrics:
        """Return the metrics that a policy needs, of the time since the previous call for this service.

        Those that need an earlier call are None at the first one. Raises `BalancerFault` and `EngineFault`.
        """

    def held(self, spec: ReleaseSpec, service: str) -> int:
        """Return the number of requests that wait for the first replica of a service. Cheap. Raises as `read`."""

    def forget(self, service: str) -> None:
        """Let the next call for this service be the first one."""

    def close(self) -> None:
        """Close the connections."""


@dataclass
class _Earlier:
    """What the previous call for a service has read."""

    group: str = ""
    in_flight: int | None = None
    cpu: dict[str, CpuTime] = field(default_factory=dict)


class LocalMetrics:
    """The `MetricSource` of a pipeline: access log and health of the balancer, containers of its cluster.

    `loads` may be shared with other pipelines. The cluster is asked for services without a target group, and for CPU.
    Containers on a host that does not answer do not count.
    """

    def __init__(
        self,
        pipeline: str,
        balancer: BalancerReader,
        loads: GroupLoads,
        cluster: ClusterContainers,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline = pipeline
        self._balancer = balancer
        self._loads = loads
        self._cluster = cluster
        self._monotonic = monotonic
        self._earlier: dict[str, _Earlier] = {}

    def read(self, spec: ReleaseSpec, service: str, target: ScalingTarget | None) -> ServiceMetrics:
        """Return the metrics that a policy needs."""
        settings = spec.service(service)
        earlier = self._earlier.setdefault(service, _Earlier())
        needs_cpu = target is not None and target.cpu is not None
        owner = spec.balancer.group_owner if isinstance(spec.balancer, SharedGroup) else self._pipeline
        group = settings.settings.target_group
        in_group = owner is not None and group is not None
        containers = self._containers(service) if needs_cpu or not in_group else []
        cpu = self._cpu(settings, containers, earlier) if needs_cpu else None
        if owner is None or group is None:
            return _of_containers(containers, cpu)
        needs_requests = can_be_zero(settings) or (
            target is not None and (target.requests_per_target is not None or target.response_time_p90 is not None)
        )
        is_counted = needs_requests and not isinstance(settings.group, NetworkTargetGroup | GatewayTargetGroup)
        return self._of_group(service, owner, group, cpu, earlier, is_counted=is_counted)

    def held(self, spec: ReleaseSpec, service: str) -> int:
        """Return the number of requests that wait for the first replica of a service."""
        settings = spec.service(service)
        if not can_be_zero(settings) or settings.settings.target_group is None:
            return 0
        return self._balancer.held_requests(self._pipeline, settings.settings.target_group)

    def forget(self, service: str) -> None:
        """Let the next call for this service be the first one."""
        if earlier := self._earlier.pop(service, None):
            self._loads.forget(earlier.group)

    def close(self) -> None:
        """Close the connections to the engines, and count no requests any more."""
        for service in list(self._earlier):
            self.forget(service)
        self._cluster.close()

    def _of_group(
        self, service: str, owner: str, group: str, cpu: float | None, earlier: _Earlier, *, is_counted: bool
    ) -> ServiceMetrics:
        prefix = f"{self._pipeline}.{service}."
        found = [h for h in self._balancer.target_health(owner, group) if h.target.id.startswith(prefix)]
        in_flight = sum(health.in_flight for health in found)
        requests = response_time = None
        if is_counted:
            requests, response_time = self._load(target_group_name(owner, group), in_flight, earlier)
        earlier.in_flight = in_flight
        held = self._balancer.held_requests(owner, group)
        return ServiceMetrics(
            serving=sum(health.state is TargetState.HEALTHY for health in found),
            new=sum(health.state is TargetState.INITIAL for health in found),
            held=held,
            requests=requests,
            connections=in_flight + held,
            cpu=cpu,
            response_time=response_time,
        )

    def _load(self, group: str, in_flight: int, earlier: _Earlier) -> tuple[float | None, float | None]:
        """Return the requests per minute, and the 90th percentile of the response times."""
        if earlier.group != group:
            self._loads.forget(earlier.group)
            earlier.group = group
        load = self._loads.take(group)
        if load is None or earlier.in_flight is None or load.seconds <= 0:
            return None, None
        # Under overload, fewer requests end than arrive.
        arrived = max(0, load.requests + in_flight - earlier.in_flight)
        return arrived * _MINUTE / load.seconds, percentile(sorted(load.times), 0.9)

    def _containers(self, service: str) -> list[Container]:
        found = self._cluster.current().for_pipeline(self._pipeline)
        return [each for each in found if each.labels.get(LABEL_SERVICE) == service and each.is_running]

    def _cpu(self, settings: ServiceSpec, listed: Sequence[Container], earlier: _Earlier) -> float | None:
        """Return the average CPU as a percentage of the limit, None without two readings of any container."""
        containers = self._cluster.current()
        with ThreadPoolExecutor(_MAX_PARALLEL_READS, thread_name_prefix="cpu") as pool:
            times = pool.map(partial(_cpu_time, containers), listed)
            found = {each.id: time for each, time in zip(listed, times, strict=True) if time is not None}
        before, earlier.cpu = earlier.cpu, found
        if not found:
            return None
        limit = settings.settings.cpus
        # The same for all containers of a host.
        first = {each.host: each.id for each in listed if each.id in found}
        cores = {host: limit or containers.cpus(name) for host, name in first.items()}
        shares = [
            100 * (now.seconds - then.seconds) / (now.read_at - then.read_at) / available
            for each in listed
            if (now := found.get(each.id)) and (then := before.get(each.id)) and (available := cores[each.host])
            # After a restart of the container, it has used less than before.
            if now.read_at > then.read_at and now.seconds >= then.seconds
        ]
        return sum(shares) / len(shares) if shares else None


def _cpu_time(containers: ExistingContainers, container: Container) -> CpuTime | None:
    try:
        return containers.cpu_time(container.id)
    except EngineFault:
        if not container.host:
            raise
        # The host was lost just now. Those on other hosts still count.
        return None


def can_be_zero(service: ServiceSpec) -> bool:
    """Return whether a release lets a service have no replica: its target group holds requests meanwhile."""
    return isinstance(service.group, ApplicationTargetGroup) and service.group.hold_time is not None


def _of_containers(containers: Sequence[Container], cpu: float | None) -> ServiceMetrics:
    serving = sum(each.health in (None, ContainerHealth.HEALTHY) for each in containers)
    new = sum(each.health is ContainerHealth.STARTING for each in containers)
    return ServiceMetrics(serving=serving, new=new, cpu=cpu)
