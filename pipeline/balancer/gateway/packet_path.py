"""The interface of a path of packets, which carries those of all endpoints of one balancer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from pipeline.balancer.gateway.gateway_state import FlowRecord, GatewayState, PathCounts


class PacketPath(Protocol):
    """Sends packets to appliances and back. It goes on while no process of Penstock runs.

    For one process and one thread at a time. All methods may be repeated, and raise `BalancerFault`.
    """

    def write(self, state: GatewayState) -> None:
        """Bring the path to the wanted state. No packet is lost or goes to a wrong target meanwhile.

        On return, no new flow chooses a target that no slot has. Also completes what a crash has interrupted, and
        restores what another program has removed. Flows of endpoints that are not listed any more end.
        """

    def flows(self) -> Iterator[FlowRecord]:
        """Yield the flows, also those that `expire` would end. May miss or repeat one that begins or ends meanwhile."""

    def end_flows(self, target: int) -> None:
        """Forget the flows of a target. Their next packets choose again."""

    def expire(self, now: float) -> Mapping[tuple[int, int], int]:
        """Forget the flows that were idle for too long. Return the number of others by endpoint and target.

        `now`: `time.monotonic()`. A flow of another protocol than TCP, also without one, is idle after `OTHER_IDLE`.
        """

    def counts(self) -> PathCounts:
        """Return the counts."""

    def close(self) -> None:
        """Release what this process holds. Packets go on."""

    def remove(self) -> None:
        """Remove everything from the kernel. Nothing is left. Does nothing if nothing is there."""
