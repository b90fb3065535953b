"""The wanted state of the kernel's table, from the wanted listeners and the state of HAProxy's servers. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_address

from pipeline.balancer.agent.servers import Server, Servers
from pipeline.balancer.flows.left_listeners import left_listeners, reaches
from pipeline.balancer.flows.marks import MarkedTarget, Marks
from pipeline.balancer.flows.wanted_flows import GroupFlows, ListenerFlows, WantedFlows
from pipeline.balancer.kernel.flow import FlowGroup, FlowListener, FlowState, FlowTarget


def chosen_targets(wanted: WantedFlows, servers: Servers) -> list[MarkedTarget]:
    """Return the targets that get new flows: those admitted and healthy or, if a group has too few, all admitted."""
    return [marked for id_, group in wanted.groups.items() for marked in _chosen(id_, group, servers.get(id_, ()))]


def failed_targets(wanted: WantedFlows, servers: Servers) -> list[MarkedTarget]:
    """Return the targets whose flows end because they are unhealthy, while others of their groups get new flows."""
    cutting = {id_: group for id_, group in wanted.groups.items() if group.cuts}
    chosen = set(chosen_targets(wanted, servers))
    return [
        marked
        for id_, group in cutting.items()
        for server in servers.get(id_, ())
        if server.is_open
        and not (server.is_up or server.is_spare)
        and (marked := _marked(id_, group, server)) not in chosen
    ]


def flow_state(
    wanted: WantedFlows,
    servers: Servers,
    marks: Marks,
    draining: Collection[MarkedTarget] = (),
    undeliverable: Collection[MarkedTarget] = (),
) -> FlowState:
    """Return the state of the table. `marks` has all targets that get new flows, and the draining ones.

    An optional listener is left to HAProxy while the kernel cannot send flows to one of its targets: Docker drops them,
    if it is among the `undeliverable`, or its address is of the other family or loopback. Any listener is left out
    while the kernel reaches none of its targets: its packets then go to the machine itself, where HAProxy accepts TCP,
    and UDP is refused.
    """
    chosen = chosen_targets(wanted, servers)
    targets: dict[str, list[FlowTarget]] = {}
    for marked in chosen:
        targets.setdefault(marked.group, []).append(_flow_target(marked, marks))
    left = {each.node for each in left_listeners(wanted, chosen, undeliverable)}
    listeners = (_listener(each, targets) for each in wanted.listeners if not (each.is_optional and each.node in left))
    return FlowState(
        tuple(each for each in listeners if any(group.targets and group.weight for group in each.groups)),
        tuple(_flow_target(marked, marks) for marked in sorted(draining)),
    )


def _chosen(id_: str, group: GroupFlows, servers: Sequence[Server]) -> Iterator[MarkedTarget]:
    admitted = [server for server in servers if server.is_open]
    healthy = [server for server in admitted if server.is_up and not server.is_spare]
    for server in healthy if len(healthy) >= max(1, group.needed) else admitted:
        yield _marked(id_, group, server)


def _marked(id_: str, group: GroupFlows, server: Server) -> MarkedTarget:
    return MarkedTarget(id_, server.target, server.endpoint, group.hidden)


def _listener(wanted: ListenerFlows, targets: Mapping[str, Sequence[FlowTarget]]) -> FlowListener:
    address = ip_address(wanted.address)
    groups = (
        FlowGroup(weight, tuple(target for target in targets.get(id_, ()) if reaches(address, target.address)))
        for id_, weight in wanted.groups
    )
    return FlowListener(
        address,
        wanted.protocol,
        wanted.port,
        timedelta(seconds=wanted.idle),
        "source" if wanted.sticky else "flow",
        tuple(groups),
        # HAProxy reaches targets on other bridges than the client's. Docker drops what the kernel forwards to them.
        skips_containers=wanted.is_optional,
    )


def _flow_target(marked: MarkedTarget, marks: Marks) -> FlowTarget:
    address, port = marked.place
    return FlowTarget(f"{marked.group}/{marked.target}", address, port, marks[marked])
