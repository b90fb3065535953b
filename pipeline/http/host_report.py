"""The hosts of a pipeline as `pipeline status` shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.base.errors import EngineFault, HostSilent
from pipeline.engine.cluster import ClusterSpec
from pipeline.engine.container import Container
from pipeline.http.responses.status import HostResponse


@dataclass(frozen=True)
class HostReport:
    """The hosts of a cluster, the containers that they have listed, and why the others did not answer."""

    cluster: ClusterSpec = field(default_factory=ClusterSpec)
    containers: Sequence[Container] = ()
    missing: Mapping[str, EngineFault] = field(default_factory=dict)

    def place(self, container: str, address: str) -> str:
        """Return the host of a container, or an empty text in a cluster of one engine.

        That of a host which does not answer is known by the `address` of its target.
        """
        listed = next((each.host for each in self.containers if each.name == container), "")
        return listed or (self.cluster.host_at(address) if address else "")

    def lines(self) -> Iterator[str]:
        """Yield a line for each host that does not answer, or takes no replicas."""
        for host in self.cluster.hosts:
            if fault := self.missing.get(host.name):
                yield f"host {host.name} {_described(fault, host.name)}"
            elif not host.takes_replicas:
                count = len(self._on(host.name))
                left = f"{count} {'is' if count == 1 else 'are'} left on it" if count else "none is left on it"
                yield f"host {host.name} takes no replicas, {left}"

    def responses(self) -> list[HostResponse]:
        """Return the hosts for programs."""
        return [
            HostResponse(
                name=host.name,
                zone=host.spec.zone,
                takes_replicas=host.takes_replicas,
                containers=self._on(host.name),
                fault=fault.reason(host.name) if (fault := self.missing.get(host.name)) else None,
            )
            for host in self.cluster.hosts
        ]

    def _on(self, host: str) -> list[str]:
        return sorted(each.name for each in self.containers if each.host == host)


def _described(fault: EngineFault, host: str) -> str:
    reason = fault.reason(host)
    if isinstance(fault, HostSilent):
        # The daemon waits for a second only, which a busy machine exceeds.
        return f"is slow or cannot be reached: {reason}. `pipeline node list` waits longer"
    return f"does not answer: {reason}"
