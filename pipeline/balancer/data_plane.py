"""The interface of a data plane, which carries the traffic. It takes a wanted state and returns facts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import ip_address
from typing import Literal, NamedTuple, Protocol

from pipeline.balancer.access import AccessLog
from pipeline.balancer.effective import EffectiveListener
from pipeline.balancer.key_set import KeySet
from pipeline.balancer.model import HealthCheck, TargetGroup
from pipeline.balancer.plane_choice import PlaneChoice
from pipeline.balancer.pools import EVERY_TARGET, Pool
from pipeline.balancer.wanted_endpoint import WantedEndpoint
from pipeline.base.clock import Stamp

Outcome = Literal["none", "pending", "passed", "failed", "mismatch", "timeout"]
FlowCount = Literal[
    "active",
    "new",
    "bytes",
    "client_resets",
    "target_resets",
    "client_tls_errors",
    "target_tls_errors",
    "unhealthy_routing",
    "dropped_malformed",
    "dropped_too_large",
    "dropped_no_target",
    "dropped_table_full",
    "dropped_no_flow",
    "dropped_not_geneve",
    "dropped_not_a_target",
    "dropped_unknown_flow",
    "dropped_no_network",
    "dropped_failed",
]


def group_id(owner: str, name: str) -> str:
    """Return the id of a target group in a data plane. Names contain no dot, so it is unique over all owners."""
    return f"{owner}.{name}"


@lru_cache(maxsize=8192)
def endpoint(address: str, port: int) -> str:
    """Return an address and a port in one canonical form."""
    ip = ip_address(address)
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


@dataclass(frozen=True)
class WantedTarget:
    """A target in the wanted state. `check` is None if it is not checked. `ramp`: its share grows slowly.

    `zone` is None if it is in none. A target that is neither admitted nor checked is leaving. The plane keeps it closed
    until the group no longer lists it.
    """

    id: str
    address: str
    port: int
    admit: bool
    check: HealthCheck | None
    ramp: bool
    zone: str | None = None

    @property
    def is_leaving(self) -> bool:
        """True if the plane need not have it."""
        return not self.admit and self.check is None

    @property
    def endpoint(self) -> str:
        """Its address and port, in the form that facts use."""
        return endpoint(self.address, self.port)


@dataclass(frozen=True)
class WantedGroup:
    """A target group with its targets in the wanted state. Nodes of load balancers send traffic to its `pools`."""

    owner: str
    name: str
    settings: TargetGroup
    targets: tuple[WantedTarget, ...] = ()
    pools: tuple[Pool, ...] = (EVERY_TARGET,)

    @property
    def id(self) -> str:
        """Its key in `PlaneConfig.groups` and in `Facts.targets`."""
        return group_id(self.owner, self.name)

    def registered(self, pool: Pool) -> int:
        """Return the number of targets of a pool that are not leaving."""
        return sum(not target.is_leaving and pool.prefers(target.zone) for target in self.targets)


@dataclass(frozen=True)
class PlaneConfig:
    """The wanted state of a plane. `groups`: by id. `key_sets`: the keys of each issuer that a rule trusts.

    `endpoints` are those from which a gateway load balancer may get packets.
    """

    listeners: tuple[EffectiveListener, ...]
    groups: Mapping[str, WantedGroup]
    key_sets: Mapping[str, KeySet]
    endpoints: tuple[WantedEndpoint, ...] = ()


@dataclass(frozen=True)
class CheckFact:
    """The last health check of a target.

    `none`: it is not checked. `pending`: no check has finished yet. `mismatch`: it returned the wrong `code`. `passes`:
    consecutive passes, as far as the plane counts. `text`: the reason of a failure, for people.
    """

    outcome: Outcome
    passes: int = 0
    code: str = ""
    text: str = ""

    @property
    def has_passed_check(self) -> bool:
        """True if the last check passed, so a new target may be admitted."""
        return self.outcome == "passed" and self.passes >= 1


class TargetFact(NamedTuple):
    """The state of a target in the plane.

    `admitted`: it may get new requests, healthy or not. `up`: it counts as healthy, as an unchecked target does.
    `in_flight`: open requests or flows, including those of replaced workers. `state_age`: the time since `up` changed,
    to the second. `endpoint`: the address and port that its traffic goes to, or empty if the plane does not know.
    `fault`: why it gets no requests or flows, whatever its health, or empty.
    A plane that runs no checks itself takes `up` and `check` from the plane that does.
    """

    admitted: bool
    up: bool
    check: CheckFact
    in_flight: int
    state_age: timedelta
    endpoint: str = ""
    fault: str = ""

    @property
    def is_down(self) -> bool:
        """True if it may get new requests only because too few others are healthy."""
        return self.admitted and not self.up


@dataclass(frozen=True)
class Facts:
    """The state of a plane at one moment. `targets`: group id → target id → fact, for groups that it carries."""

    running: bool
    at: Stamp
    targets: Mapping[str, Mapping[str, TargetFact]]


@dataclass(frozen=True)
class FlowCounts:
    """The counts of one process of a plane, since it started: of a listener for flows, or of a target group.

    `source` names the process, or a part of it that counts by itself. `owner` and `name` are those of the load
    balancer, with the `port` of the listener, or those of the target group, without a port. A count that the process
    does not know is left out. `active` is the number now, and every other one only grows.

    The listener of a gateway load balancer has port 0. Its counts are `active`, `new`, `bytes` of inner packets, and
    the packets that it dropped, by reason. See `DropReason`. They are counted by `endpoint`, which is the id of one.
    What was dropped and belongs to no endpoint has an empty `owner`, `name` and `endpoint`.
    """

    source: str
    owner: str
    name: str
    port: int | None
    counts: Mapping[FlowCount, int]
    transport: Literal["tcp", "udp"] = "tcp"
    endpoint: str = ""


class PacketEnds(NamedTuple):
    """Where a packet comes from and goes to: addresses, the protocol's number, and ports, which are 0 without."""

    source: str
    target: str
    protocol: int
    source_port: int = 0
    target_port: int = 0


class OpenFlow(NamedTuple):
    """The target that has an open flow. `stays`: it keeps it. Otherwise the flow chooses again at its next packet."""

    target: str
    stays: bool


class DataPlane(Protocol):
    """Carries the traffic of all owners.

    Order: `apply` makes a group before `steer` fills it. After `stop`, `apply` starts again.
    Threads: one thread of one process at a time calls `check`, `apply`, `steer`, `abort`, `maintain`, `end_if_hung` and
    `stop`, under the balancer's lock. Any thread of any process may call the others at any time.
    Repetition: every call may be repeated. The next `apply` completes a call that a crash interrupted.
    Errors: `ConfigError` if the user can correct it, otherwise `BalancerFault`. After either, the previous state stays
    in force. Deadline: a call that cannot finish fails after about half a minute at most.
    """

    def check(self, wanted: PlaneConfig) -> str | None:
        """Return the plane's reasons to reject a configuration, or None. Changes nothing and leaves nothing behind.

        Raises `ConfigError` if a file that the user named is missing or unusable.
        """

    def choices(self, wanted: PlaneConfig) -> Mapping[int, PlaneChoice]:
        """Return what carries each listener of a network load balancer, by the listener's number.

        Changes nothing. Any thread of any process may call it.
        """

    def take_over(self, wanted: PlaneConfig) -> None:
        """Replace processes of an earlier version of Penstock that read its registry.

        Called before the registry is written in another format. Traffic is not affected.
        """

    def apply(self, wanted: PlaneConfig) -> bool:
        """Start or reload the plane if needed, then update the targets of every group. No request is lost.

        Certificates are read again. Returns True if it had to be started. If the new configuration is rejected, the
        previous one stays in force and on disk.
        """

    def steer(self, group: WantedGroup) -> None:
        """Update the targets of one group without a reload. On return, targets not admitted get no new requests.

        A target that the group does not list is removed once it has no open requests. Repeat the call until the facts
        no longer show it. A target whose address changed is a new target, and its checks start again.
        """

    def extend(self, group: WantedGroup) -> bool:
        """Add the targets that the group lists, closed and with their checks running. All others stay as they are.

        Removes former targets of their ids first, whose checks do not count. Costs no more in a large group. Return
        False if `steer` is needed instead, for example because a former target still has open requests.
        """

    def observe(self, groups: Collection[str] | None = None) -> Facts:
        """Return the facts of these groups, or of all. Starts, changes and locks nothing.

        If the plane does not run, `running` is False. A group that it does not carry is left out.
        """

    def flow_counts(self) -> tuple[FlowCounts, ...]:
        """Return the counts of the flows of network load balancers, by every process that carries some.

        Starts, changes and locks nothing. Empty if the plane does not run.
        """

    def open_flow(self, endpoint: str, packet: PacketEnds) -> OpenFlow | None:
        """Return who has the flow of a packet at an endpoint of a gateway load balancer, or None if none is open.

        Starts, changes and locks nothing. Goes through all flows. None if the plane does not respond.
        """

    def network_faults(self) -> Mapping[tuple[str, str], str]:
        """Return why networks are not attached, by the id of the endpoint and the network's name there.

        Starts, changes and locks nothing. A network that is attached is left out.
        """

    def held(self, group: str) -> int:
        """Return the number of requests of a group that wait for a target, because the group has none.

        Only groups with a `hold_time` hold requests. Starts, changes and locks nothing.
        """

    def abort(self, group: str, target: str) -> None:
        """Close the open requests of a target, also in replaced workers. Does nothing for an unknown target."""

    def maintain(self) -> None:
        """Cap logs and remove leftovers of a crash. Called about once a minute, and before changes."""

    def stop(self) -> None:
        """Stop the plane and remove its files. Does nothing if it does not run."""

    def pid(self) -> int | None:
        """Return the process that exits when the plane does, or None if it does not run."""

    def stopped(self) -> tuple[int, ...]:
        """Return the plane's processes that a signal such as SIGSTOP has stopped. They execute nothing."""

    def resume(self) -> tuple[int, ...]:
        """Continue the processes that a signal has stopped, and return them. Their open requests continue too."""

    def is_cut_off(self) -> bool:
        """Return whether the plane runs, but a file that is needed to control it is missing. Asks the plane nothing."""

    def end_if_hung(self) -> bool:
        """End the plane if it runs and does not respond. Return whether it was ended. The next `apply` starts it.

        Called under the balancer's lock, after another call has failed or if the plane is cut off.
        """

    def standby(self) -> AbstractContextManager[None]:
        """Within the block, new connections wait during a restart instead of being refused.

        For one process at a time. Raises `SystemFault` or `OSError` if this is not possible.
        """

    def access_log(self) -> AccessLog:
        """Return a new reader of the access log, which starts at the oldest record."""
