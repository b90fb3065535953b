"""The listeners that the kernel leaves to HAProxy, because it cannot send flows to one of their targets. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from pipeline.balancer.flows.marks import MarkedTarget
from pipeline.balancer.flows.wanted_flows import ListenerFlows, WantedFlows
from pipeline.balancer.kernel.flow import Address
from pipeline.balancer.plane_choice import PlaneChoice

_OTHER_FAMILY = "give the targets addresses of the listener's family that are not loopback, or leave it to HAProxy"
_ALLOW = "let Docker accept it: {} -I DOCKER-USER -m conntrack --ctstate DNAT -j ACCEPT"
_PUBLISH = "deploy again, because this version publishes the ports of its containers; publish those of others yourself"


class LeftListener(NamedTuple):
    """A node of a listener, with a target that the kernel cannot send its flows to.

    If only the kernel can carry the listener, the node is not left, and its flows to the target are lost.

    `is_dropped`: Docker drops them. Otherwise the target's address is loopback, or of the other family.
    """

    node: tuple[str, str, int, str]
    target: str
    endpoint: str
    is_dropped: bool

    @property
    def address(self) -> str:
        """The address of the node."""
        return self.node[-1]

    def lost_by(self, choice: PlaneChoice) -> PlaneChoice:
        """Return the choice of a listener that only the kernel can carry, with what is lost and what to change."""
        reason = f"{choice.reason}; Docker drops what the kernel forwards to {self.target} at {self.endpoint}"
        return PlaneChoice(choice.plane, reason, self._allowing, choice.is_missing)

    @property
    def _allowing(self) -> str:
        """How Docker can be made to let the packets pass, also to a target that is no container."""
        return _ALLOW.format("ip6tables" if ":" in self.address else "iptables")

    def choice(self) -> PlaneChoice:
        """Return that HAProxy carries the listener, and what to change."""
        if self.is_dropped:
            reason = f"Docker drops what the kernel forwards to {self.target}, whose port is not published"
            return PlaneChoice("HAProxy", reason, f"{_PUBLISH}, or {self._allowing}")
        reason = f"the kernel does not forward from {self.address} to {self.target} at {self.endpoint}"
        return PlaneChoice("HAProxy", reason, _OTHER_FAMILY)


def left_listeners(
    wanted: WantedFlows, chosen: Iterable[MarkedTarget], undeliverable: Collection[MarkedTarget] = ()
) -> list[LeftListener]:
    """Return the nodes that are left.

    `chosen`: all targets that get new flows. `undeliverable`: those whose flows Docker drops.
    """
    targets: dict[str, list[MarkedTarget]] = {}
    for marked in chosen:
        targets.setdefault(marked.group, []).append(marked)
    found = (_left(each, targets, undeliverable) for each in wanted.listeners if each.is_optional)
    return [left for left in found if left]


def blocked_listeners(
    wanted: WantedFlows, chosen: Iterable[MarkedTarget], undeliverable: Collection[MarkedTarget]
) -> list[LeftListener]:
    """Return the nodes that only the kernel can carry, and that have a target whose flows Docker drops."""
    dropped = [marked for marked in chosen if marked in undeliverable]
    return [
        LeftListener(listener.node, marked.target, marked.endpoint, is_dropped=True)
        for listener in wanted.listeners
        for marked in dropped
        if not listener.is_optional and marked.group in dict(listener.groups)
    ]


def reaches(address: Address, target: Address) -> bool:
    """Return whether the kernel can send flows to an address on to a target. It drops what goes to loopback."""
    return target.version == address.version and not target.is_loopback


def with_left(choice: PlaneChoice, nodes: Collection[ListenerFlows], left: Collection[LeftListener]) -> PlaneChoice:
    """Return what carries a listener that has these nodes. If the kernel carries some, the reason names the others.

    `choice`: what would carry them. `left`: the nodes that are left or blocked, of all listeners.
    """
    own = {each.node for each in nodes if each.is_optional}
    found = [each for each in left if each.node in own]
    if not found:
        needed = {each.node for each in nodes if not each.is_optional}
        blocked = next((each for each in left if each.is_dropped and each.node in needed), None)
        return blocked.lost_by(choice) if blocked else choice
    if len(found) == len(nodes):
        return found[0].choice()
    addresses = ", ".join(each.address for each in found)
    return PlaneChoice(
        choice.plane, f"{choice.reason}; HAProxy carries {addresses}, because {found[0].choice().reason}"
    )


def _left(
    listener: ListenerFlows, targets: Mapping[str, Sequence[MarkedTarget]], undeliverable: Collection[MarkedTarget]
) -> LeftListener | None:
    address = ip_address(listener.address)
    for marked in (marked for id_, _ in listener.groups for marked in targets.get(id_, ())):
        is_dropped = marked in undeliverable
        if is_dropped or not reaches(address, marked.place[0]):
            return LeftListener(listener.node, marked.target, marked.endpoint, is_dropped)
    return None
