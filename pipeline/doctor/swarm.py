"""The Swarm of the pipeline: its managers, its nodes, and what the kernel of this machine lacks for it."""

from __future__ import annotations

import gzip
import platform
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from pipeline.doctor.check import Check
from pipeline.doctor.context import DoctorContext
from pipeline.doctor.finding import Finding
from pipeline.engine.cluster import RuntimeName
from pipeline.engine.hosts import local_swarm
from pipeline.engine.swarm.replica_service import ZONE
from pipeline.engine.swarm.swarm import Availability, SwarmNode

_HOME = "doctor"
_CHECK = "swarm"
# What Docker uses without a word where the kernel lacks it, by the option of the kernel.
_NEEDS = {
    "CONFIG_IP_VS": "ports in the routing mesh and virtual IPs of services do not answer",
    "CONFIG_INET_ESP": "encrypted overlay networks do not connect nodes",
}


def swarm_checks(context: DoctorContext) -> Iterator[Check]:
    """Yield the check of the Swarm, if the file deploys to it."""
    deploy = context.configuration.pipeline.deploy if context.configuration else None
    if deploy is not None and deploy.cluster.runtime is RuntimeName.SWARM:
        known = [spec.name for spec in deploy.cluster.nodes]
        yield Check(_CHECK, partial(_found, context, known))


def _found(context: DoctorContext, known: Sequence[str]) -> Iterator[Finding]:
    with closing(local_swarm(_HOME, context.environment)) as swarm:
        nodes, own = swarm.nodes(), swarm.local_node()
    unknown = [node.name for node in nodes if node.id != own and node.name not in known]
    yield from swarm_findings(nodes, unknown)
    yield from kernel_findings(kernel_options())


def swarm_findings(nodes: Sequence[SwarmNode], unknown: Sequence[str]) -> Iterator[Finding]:
    """Yield what the nodes of a Swarm lack. `unknown` names those whose engines the file does not say how to reach."""
    managers = [node for node in nodes if node.is_manager]
    usable = [node for node in nodes if node.is_ready and node.availability is Availability.ACTIVE]
    if usable:
        yield Finding.ok(_CHECK, f"{len(usable)} of {len(nodes)} nodes take replicas, {len(managers)} are managers")
    else:
        yield Finding.failed(_CHECK, "no node takes replicas", "docker node ls")
    for node in nodes:
        if not node.is_ready:
            text = f"node {node.name} is down"
            yield Finding.warning(_CHECK, text, f"start Docker there, or: docker node rm --force {node.id}")
    if len(managers) % 2 == 0 or len(managers) == 1:
        are = "is a manager" if len(managers) == 1 else "are managers"
        text = f"{len(managers)} of its nodes {are}: without {_most(len(managers))} of them nothing is replaced"
        yield Finding.warning(_CHECK, text, "docker node promote NODE, so that there are three or five")
    zones = {node.name: node.labels.get(ZONE) for node in nodes}
    if any(zones.values()):
        for name in sorted(name for name, zone in zones.items() if not zone):
            yield Finding.warning(
                _CHECK, f"node {name} is in no zone", f"docker node update --label-add {ZONE}=NAME {name}"
            )
    if unknown:
        text = f"the engines of {', '.join(sorted(unknown))} are not in deploy.hosts"
        yield Finding.warning(
            _CHECK,
            f"{text}: images must come from a registry, and exec does not work there",
            "list them there",
        )


def kernel_findings(options: Iterable[str] | None) -> Iterator[Finding]:
    """Yield what Docker cannot do in a Swarm with these options of the kernel, None if they are not known."""
    known = frozenset(_NEEDS if options is None else options)
    for option, consequence in _NEEDS.items():
        if option not in known:
            text = f"the kernel lacks {option.removeprefix('CONFIG_')}: {consequence}; Penstock uses none"
            yield Finding.warning(_CHECK, text)


def kernel_options() -> frozenset[str] | None:
    """Return the options that the kernel of this machine has, built in or as modules, or None if it does not tell."""
    text = ""
    with suppress(OSError):
        text = gzip.decompress(Path("/proc/config.gz").read_bytes()).decode()
    with suppress(OSError):
        text = text or Path(f"/boot/config-{platform.release()}").read_text()
    return frozenset(line.partition("=")[0] for line in text.splitlines() if line.endswith(("=y", "=m"))) or None


def _most(managers: int) -> int:
    return managers // 2 + 1
