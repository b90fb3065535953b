"""The stored form of a cluster, and what two of them make together. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, replace

from pipeline.engine.cluster import ClusterHost, ClusterSpec, RuntimeName
from pipeline.engine.host import HostSpec
from pipeline.engine.placement import Placement

_SUFFIX, _MAX_STEM = "-other", 50


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
    """Yield the hosts whose engines are not in a cluster. The same engine under another name is in it.

    A name that the cluster has for another address gets a suffix: whether it is the same machine is not known.
    """
    names = {spec.name for spec in cluster.specs}
    engines = {spec.engine for spec in cluster.specs}
    for spec in hosts:
        if spec.engine not in engines:
            other = _renamed(spec, names)
            names.add(other.name)
            engines.add(other.engine)
            yield other


def _renamed(spec: HostSpec, names: Collection[str]) -> HostSpec:
    """Return a host with a name that is not one of `names`."""
    while spec.name in names:
        spec = replace(spec, name=f"{spec.name.removesuffix(_SUFFIX)[:_MAX_STEM]}{_SUFFIX}")
        if spec.name in names:
            spec = replace(spec, name=f"x{spec.name}")
    return spec


def drained_in(
    cluster: ClusterSpec, former: ClusterSpec, leaving: Iterable[HostSpec], drained: Collection[str]
) -> frozenset[str]:
    """Return the drained hosts of a cluster that follows `former`. `drained` are their names until then.

    A drained engine that gets another name stays drained, and a host that gets its former name is not. A host that
    leaves is not drained any more. Nodes of a Swarm stay drained.
    """
    engines = {} if cluster.is_local else {spec.engine: spec.name for spec in cluster.specs}
    hosts = {spec.name: spec.engine for spec in (*leaving, *former.specs)}
    moved = {name: engines[hosts[name]] for name in drained if name in hosts and hosts[name] in engines}
    gone = {spec.name for spec in leaving} - moved.keys()
    found = frozenset(moved.get(name, name) for name in drained if name not in gone)
    if cluster.runtime is RuntimeName.SWARM:
        return found
    return found & {spec.name for spec in cluster.specs}


def joined(cluster: ClusterSpec, others: Iterable[HostSpec], drained: Collection[str]) -> ClusterSpec:
    """Return a cluster with other hosts, which take no replicas. Nor do its own hosts and nodes that are drained."""
    leaving = tuple(ClusterHost(spec, takes_replicas=False) for spec in others_than(cluster, others))
    if cluster.is_local and not leaving:
        return cluster
    own = tuple(ClusterHost(spec, takes_replicas=spec.name not in drained) for spec in cluster.specs)
    nodes = tuple(sorted(drained)) if cluster.runtime is RuntimeName.SWARM else ()
    return replace(cluster, hosts=(*own, *leaving), drained_nodes=nodes)
