"""The opening of clusters, which run the replicas of pipelines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.engine import hosts
from pipeline.engine.cluster import SWARM, SWARM_MEMBER, ClusterSpec
from pipeline.engine.host import LOCAL, HostSpec
from pipeline.engine.interfaces import Engine
from pipeline.engine.open_cluster import OpenCluster

if TYPE_CHECKING:
    from pipeline.engine.hosts_runtime import HostsRuntime
    from pipeline.engine.reachable_host import HostChange, ReachableHost
    from pipeline.engine.runtime import ReplicaSpec


def open_cluster(
    cluster: ClusterSpec,
    home: str,
    sockets: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    local: Engine | None = None,
    on_change: Callable[[HostChange], object] = lambda _: None,
    before_start: Callable[[str, Engine, ReplicaSpec], object] = lambda *_: None,
) -> OpenCluster:
    """Open a cluster. The caller closes it. `local` is the local engine if it is open already, and stays open.

    `on_change` is called when a host is lost and when it is back. `before_start` is called with the name and the engine
    of the host of each replica before it is started on one of several hosts.
    Only a cluster that is the local engine alone is connected to, and raises `EngineFault` if it does not respond.
    """
    from pipeline.engine.patient_runtime import PatientRuntime

    connect = partial(hosts.reachable_host, home=home, sockets=sockets, environment=environment, on_change=on_change)
    if SWARM_MEMBER in cluster.specs:
        return _open_swarm(cluster, home, sockets, environment, local, connect, before_start)
    if cluster.is_local:
        engine = local or hosts.local_engine(home, environment)
        runtime = hosts.runtime_on(hosts.local_host(engine))
        close = (lambda: None) if local else engine.close
        return OpenCluster(cluster, runtime, lambda: {LOCAL: engine}, close)
    on_hosts = _hosts_runtime(cluster, cluster.specs, connect, before_start)
    return OpenCluster(cluster, PatientRuntime(on_hosts), lambda: on_hosts.engines, on_hosts.close, on_hosts.place_on)


def _hosts_runtime(
    cluster: ClusterSpec,
    specs: Iterable[HostSpec],
    connect: Callable[[HostSpec], ReachableHost],
    before_start: Callable[[str, Engine, ReplicaSpec], object],
) -> HostsRuntime:
    from pipeline.engine.hosts_runtime import HostsRuntime

    taking = [spec.name for spec in specs if spec.name in cluster.taking]
    return HostsRuntime(list(map(connect, specs)), cluster.placement, taking=taking, before_start=before_start)


def _open_swarm(
    cluster: ClusterSpec,
    home: str,
    sockets: Path,
    environment: Mapping[str, str],
    local: Engine | None,
    connect: Callable[[HostSpec], ReachableHost],
    before_start: Callable[[str, Engine, ReplicaSpec], object],
) -> OpenCluster:
    """Open a cluster of which the Swarm is a member, and perhaps hosts from before or after it."""
    from pipeline.engine.moving_runtime import MovingRuntime
    from pipeline.engine.node_engines import NodeEngines
    from pipeline.engine.patient_runtime import PatientRuntime
    from pipeline.engine.registry_names import service_reference
    from pipeline.engine.swarm.runtime import SwarmRuntime

    with ExitStack() as stack:
        engine = local or stack.enter_context(hosts.local_engine(home, environment))
        swarm = stack.enter_context(closing(hosts.local_swarm(home, environment)))
        nodes = NodeEngines(
            LOCAL,
            engine,
            {spec.name: partial(hosts.host_engine, spec, home, sockets, environment) for spec in cluster.nodes},
        )
        stack.callback(nodes.close)
        known = {spec.name for spec in cluster.nodes}

        def reference(image: str) -> str:
            """Return the id of an image where every node has been sent it, else a name in a registry if it has one."""
            own = swarm.local_node()
            if all(node.name in known or node.id == own or not node.is_ready for node in swarm.nodes()):
                return image
            return service_reference(image, engine.images.registry_names(image))

        own = SwarmRuntime(swarm, engine.images.healthcheck, reference=reference, drained=cluster.drained_nodes)
        others = [spec for spec in cluster.specs if spec.docker != SWARM]
        if not others:
            return OpenCluster(cluster, own, nodes.answering, stack.pop_all().close, swarm=swarm)
        on_hosts = _hosts_runtime(cluster, others, connect, before_start)
        stack.callback(on_hosts.close)
        names = frozenset(spec.name for spec in others)
        moving = MovingRuntime(own, PatientRuntime(on_hosts), names, on_hosts.place_on, taking=cluster.taking)
        return OpenCluster(
            cluster,
            moving,
            lambda: {**nodes.answering(), **on_hosts.engines},
            stack.pop_all().close,
            moving.place_on,
            swarm,
        )


def with_addresses(cluster: ClusterSpec, environment: Mapping[str, str] = os.environ) -> ClusterSpec:
    """Return a declared cluster with the addresses that are left out: those that ssh connects to.

    Raises `EngineFault` if one cannot be found.
    """
    found = (replace(host, spec=hosts.with_address(host.spec, environment)) for host in cluster.hosts)
    return replace(cluster, hosts=tuple(found))
