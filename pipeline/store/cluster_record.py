"""The stored form of a cluster, and what two of them make together. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, replace

from pipeline.engine.cluster import ClusterHost, ClusterSpec, RuntimeName
from pipeline.engine.host import HostSpec
from pipeline.engine.placement import Placement


def dump_cluster(cluster: ClusterSpec) -> str:
    """Return a cluster as JSON, without the state of its hosts."""
    hosts = [asdict(host.spec) for host in cluster.hosts]
    nodes = {"nodes": [asdict(spec) for spec in cluster.nodes]} if cluster.nodes else {}
    return json.dumps({"runtime": cluster.runtime, "placement": cluster.placement, "hosts": hosts, **nodes})


def load_cluster(stored: str | None) -> ClusterSpec:
    """Return a stored cluster, whose hosts take replicas. None is the local engine alone."""
    if stored is None:
        return ClusterSpec()
    data = json.loads(stored)
    hosts = tuple(ClusterHost(HostSpec(**host)) for host in data["hosts"])
    nodes = tuple(HostSpec(**node) for node in data.get("nodes", ()))
    return ClusterSpec(RuntimeName(data["runtime"]), Placement(data["placement"]), hosts, nodes)


def others_than(cluster: ClusterSpec, hosts: Iterable[HostSpec]) -> Iterator[HostSpec]:
    """Yield the hosts that are not in a cluster. The same engine under another name is in it."""
    names = {spec.name for spec in cluster.specs}
    engines = {spec.engine for spec in cluster.specs}
    for spec in hosts:
        if spec.name not in names and spec.engine not in engines:
            names.add(spec.name)
            engines.add(spec.engine)
            yield spec


def joined(cluster: ClusterSpec, others: Iterable[HostSpec], drained: Collection[str]) -> ClusterSpec:
    """Return a cluster with other hosts, which take no replicas. Nor do its own hosts and nodes that are drained."""
    leaving = tuple(ClusterHost(spec, takes_replicas=False) for spec in others_than(cluster, others))
    if cluster.is_local and not leaving:
        return cluster
    own = tuple(ClusterHost(spec, takes_replicas=spec.name not in drained) for spec in cluster.specs)
    nodes = tuple(sorted(drained)) if cluster.runtime is RuntimeName.SWARM else ()
    return replace(cluster, hosts=(*own, *leaving), drained_nodes=nodes)
