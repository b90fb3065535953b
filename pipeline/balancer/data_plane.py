"""What carries the traffic, behind one interface: a wanted state in, facts out. It knows no phase and no registry."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from typing import Literal, Protocol

from pipeline.balancer.access import AccessLog
from pipeline.balancer.effective import EffectiveListener
from pipeline.balancer.key_set import KeySet
from pipeline.balancer.model import HealthCheck, TargetGroup

Outcome = Literal["none", "pending", "passed", "failed", "mismatch", "timeout"]


def group_id(owner: str, name: str) -> str:
    """Return the id of a target group in a data plane. Names contain no dot, so it is unique over all owners."""
    return f"{owner}.{name}"


@lru_cache(maxsize=8192)
def endpoint(address: str, port: int) -> str:
    """Return an address and a port in one form, however the address is written."""
    ip = ip_address(address)
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"


@dataclass(frozen=True)
class WantedTarget:
    """A target as it should be. `check`: how it is checked; None if it is not. `ramp`: its share grows slowly.

    A target that is neither admitted nor checked is on its way out: the plane keeps what it has of it, closed, until
    the group no longer lists it.
    """

    id: str
    address: str
    port: int
    admit: bool
    check: HealthCheck | None
    ramp: bool

    @property
    def is_leaving(self) -> bool:
        """The plane need not have it."""
        return not self.admit and self.check is None

    @property
    def endpoint(self) -> str:
        """Its address and port, as facts have them."""
        return endpoint(self.address, self.port)


@dataclass(frozen=True)
class WantedGroup:
    """A target group with its targets, as it should be."""

    owner: str
    name: str
    settings: TargetGroup
    targets: tuple[WantedTarget, ...] = ()

    @property
    def id(self) -> str:
        """Its key in `PlaneConfig.groups` and in `Facts.targets`."""
        return group_id(self.owner, self.name)

    @property
    def registered(self) -> int:
        """The number of targets that are not on their way out."""
        return sum(not target.is_leaving for target in self.targets)


@dataclass(frozen=True)
class PlaneConfig:
    """All that a plane should carry. `groups`: by id. `key_sets`: the keys of each issuer that a rule trusts."""

    listeners: tuple[EffectiveListener, ...]
    groups: Mapping[str, WantedGroup]
    key_sets: Mapping[str, KeySet]


@dataclass(frozen=True)
class CheckFact:
    """The last health check of a target.

    `none`: nothing checks it. `pending`: no check has ended yet. `mismatch`: it gave the wrong `code`. `passes`: how
    many in a row have passed, as far as the plane counts. `text`: why it failed, for people.
    """

    outcome: Outcome
    passes: int = 0
    code: str = ""
    text: str = ""

    @property
    def has_passed_check(self) -> bool:
        """The last check has passed, so a new target may be admitted."""
        return self.outcome == "passed" and self.passes >= 1


@dataclass(frozen=True)
class TargetFact:
    """A target as the plane has it.

    `admitted`: it may be sent new requests, healthy or not. `up`: it counts as healthy; a target that nothing checks
    does. `in_flight`: requests or flows, those of replaced workers included. `state_age`: since `up` changed, to the
    second. `endpoint`: the address and port where its traffic goes; empty where the plane does not know.
    A plane that checks nothing itself leaves `up` and `check` to the one that does.
    """

    admitted: bool
    up: bool
    check: CheckFact
    in_flight: int
    state_age: timedelta
    endpoint: str = ""


@dataclass(frozen=True)
class Facts:
    """What a plane has at one moment. `targets`: group id → target id → fact, for groups that it carries."""

    running: bool
    at: datetime
    targets: Mapping[str, Mapping[str, TargetFact]]


class DataPlane(Protocol):
    """Carries the traffic of all owners.

    Order: `apply` makes a group before `steer` fills it. After `stop`, `apply` starts again.
    Threads: one thread of one process at a time calls `check`, `apply`, `steer`, `abort`, `maintain` and `stop`, under
    the balancer's lock. Any thread of any process calls the others, also meanwhile.
    Repetition: every call may be repeated. What a crash cut short, the next `apply` completes.
    Errors: `ConfigError` for what the user can correct, otherwise `BalancerFault`. After either, what ran before runs
    on. Deadline: a call that cannot finish fails, after about half a minute at most.
    """

    def check(self, wanted: PlaneConfig) -> str | None:
        """Return the plane's objections, or None. Changes nothing and leaves nothing behind.

        Raises `ConfigError` for a file of the user's that is missing or unusable.
        """

    def take_over(self, wanted: PlaneConfig) -> None:
        """Replace what an earlier version of Penstock left running that reads its registry.

        Called before the registry is written in another form. What carries traffic stays as it is.
        """

    def apply(self, wanted: PlaneConfig) -> bool:
        """Start, reload, or find that it runs so; then make the targets of every group so. No request is lost.

        Certificates are read again. Return True if it had to be started. If the new configuration is refused, the
        previous one stays in force and on disk.
        """

    def steer(self, group: WantedGroup) -> None:
        """Make the targets of one group so, never by a reload. On return, what is not admitted gets nothing new.

        A target that the group does not list is removed once nothing is in flight to it: repeat the call until the
        facts no longer have it. A target under another address than before is another target: its checks begin again.
        """

    def observe(self, groups: Collection[str] | None = None) -> Facts:
        """Return the facts now, of these groups or of all. Starts, changes and locks nothing.

        Where the plane does not run, `running` is False. A group that it does not carry (yet) is left out.
        """

    def abort(self, group: str, target: str) -> None:
        """Break what is in flight to a target, in replaced workers too. Does nothing for an unknown one."""

    def maintain(self) -> None:
        """Cap logs and remove what a crash left. For once a minute, and for commands that act."""

    def stop(self) -> None:
        """End it and remove its files. Does nothing where it does not run."""

    def pid(self) -> int | None:
        """Return the process that ends when the plane does, or None where there is none."""

    def standby(self) -> AbstractContextManager[None]:
        """While entered, what connects during a restart waits instead of being refused.

        For one process at a time. Raises `SystemFault` or `OSError` where that cannot be provided.
        """

    def access_log(self) -> AccessLog:
        """Return a new reader of the access log, which starts at the oldest record that is kept."""
