"""The open flows of targets: counted and cut in the kernel's table of connections, which knows them by their marks."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from pipeline.balancer.kernel import netlink
from pipeline.balancer.kernel.faults import netlink_fault
from pipeline.balancer.kernel.flow import LAST_MARK, MARK_MASK, MARK_PREFIX

_GET, _DELETE = 0x101, 0x102
_PROTOCOL_INFO, _MARK, _MARK_FILTER = 4, 8, 21
_TCP_INFO, _TCP_STATE = 1, 1
# Both sides have closed, or one has reset. The kernel remembers the flow for a while.
_CLOSED = {7, 8}
_EVERY_BIT = 0xFFFFFFFF


class FlowCount(NamedTuple):
    """The flows of a target.

    `open`: connections until both sides have closed them, and flows of UDP until they are idle. `total`: also the
    connections that the kernel only remembers.
    """

    open: int
    total: int


def count_flows(marks: Collection[int] | None = None) -> dict[int, FlowCount]:
    """Count the flows of the targets of some marks, or of all. A mark without flows is left out.

    For each of `marks`, the kernel goes through its whole table, in about 4 ms, and copies the flows of that one.
    Each thousand copied flows take about 10 ms. Raises `BalancerFault`.
    """
    if marks is None:
        return _count(MARK_PREFIX, MARK_MASK)
    return {mark: count for one in marks for mark, count in _count(one, _EVERY_BIT).items()}


def count_flows_of(mark: int) -> FlowCount:
    """Count the flows of one target. Raises `BalancerFault`."""
    return _count(mark, _EVERY_BIT).get(mark, FlowCount(0, 0))


def cut_flows(mark: int) -> None:
    """Forget all flows of a target, which must get no new ones. Does nothing if it has none. Raises `BalancerFault`.

    A connection is reset when its client sends the next packet. Such a packet of UDP counts as a new flow.
    """
    if not MARK_PREFIX < mark <= LAST_MARK:
        raise ValueError(f"{mark:#x} is not the mark of a target: flows of other programs would be cut")
    try:
        with netlink.open_socket() as opened:
            for _ in netlink.request(opened, _DELETE, netlink.ACKNOWLEDGE, _filter(mark, _EVERY_BIT)):
                pass
    except OSError as error:
        raise netlink_fault(error) from None


def _count(mark: int, mask: int) -> dict[int, FlowCount]:
    found = dict[int, tuple[int, int]]()
    try:
        with netlink.open_socket() as opened:
            # The kernel applies the filter, so the flows of other programs are never copied.
            for message in netlink.request(opened, _GET, netlink.DUMP, _filter(mark, mask)):
                of, is_open = _flow(message.attributes)
                counted, total = found.get(of, (0, 0))
                found[of] = counted + is_open, total + 1
    except OSError as error:
        raise netlink_fault(error) from None
    return {of: FlowCount(*counts) for of, counts in found.items()}


def _filter(mark: int, mask: int) -> bytes:
    parts = (netlink.attribute(kind, value.to_bytes(4, "big")) for kind, value in ((_MARK, mark), (_MARK_FILTER, mask)))
    return b"".join(parts)


def _flow(data: memoryview) -> tuple[int, bool]:
    """Return the mark of a flow, and whether it is open."""
    mark, is_open = 0, True
    for kind, value in netlink.attributes(data):
        if kind == _MARK:
            mark = int.from_bytes(value, "big")
        elif kind == _PROTOCOL_INFO:
            is_open = _tcp_state(value) not in _CLOSED
    return mark, is_open


def _tcp_state(info: memoryview) -> int:
    for kind, tcp in netlink.attributes(info):
        if kind == _TCP_INFO:
            return next((value[0] for inner, value in netlink.attributes(tcp) if inner == _TCP_STATE), 0)
    return 0
