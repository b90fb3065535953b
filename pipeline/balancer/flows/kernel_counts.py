"""The kernel's counts of network load balancers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.balancer.agent.flow_fact import FlowFact
from pipeline.balancer.data_plane import FlowCounts
from pipeline.balancer.flows.wanted_flows import ListenerFlows, WantedFlows
from pipeline.balancer.haproxy.naming import group_of
from pipeline.balancer.kernel.table import Traffic


def kernel_counts(
    wanted: WantedFlows,
    traffic: Mapping[str, Mapping[str, Traffic]],
    facts: Mapping[str, Mapping[str, FlowFact]],
) -> Iterator[FlowCounts]:
    """Yield the counts of each target, as counts of the listener that forwards to it. `traffic`, `facts`: by group.

    The kernel counts by target. So flows to a group of several listeners count for the first one, and those of a
    listener of TCP and UDP as TCP.
    """
    for group, listener in _first_listeners(wanted).items():
        for target, (flows, octets) in traffic.get(group, {}).items():
            fact = facts.get(group, {}).get(target)
            yield FlowCounts(
                source=f"kernel {group} {target}",
                owner=listener.owner,
                name=listener.load_balancer,
                port=listener.port,
                counts={"active": fact.in_flight if fact else 0, "new": flows, "bytes": octets},
                transport=listener.protocol,
            )


def _first_listeners(wanted: WantedFlows) -> dict[str, ListenerFlows]:
    """Return the listener to which the flows of each group count."""
    found = dict[str, ListenerFlows]()
    for listener in wanted.listeners:
        for backend, _ in listener.groups:
            found.setdefault(group_of(backend), listener)
    return found
