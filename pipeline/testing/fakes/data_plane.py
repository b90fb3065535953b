"""A data plane in memory. A test makes it fail, hang or crash, and sets the results of health checks."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from pipeline.balancer.access import AccessLog, ForwardedRequest, LoggedRequest, LogRecord
from pipeline.balancer.data_plane import (
    CheckFact,
    Facts,
    FlowCounts,
    OpenFlow,
    PacketEnds,
    PlaneConfig,
    TargetFact,
    WantedGroup,
    WantedTarget,
)
from pipeline.balancer.effective import EffectiveNetworkListener
from pipeline.balancer.model import ApplicationTargetGroup
from pipeline.balancer.plane_choice import PlaneChoice
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import BalancerFault
from pipeline.testing.fakes.access_log import FakeAccessLog

_UNROUTABLE_ADDRESS = "192.0.2.0:1"
_PASSED = CheckFact("passed", passes=1, code="200")


@dataclass
class _Server:
    """A target of the plane. `check` is its last health check, "none" while it is not checked."""

    endpoint: str
    admitted: bool = False
    up: bool = False
    check: CheckFact = field(default_factory=lambda: CheckFact("none"))
    in_flight: int = 0
    changed: float = field(default_factory=time.monotonic)

    def fact(self) -> TargetFact:
        age = timedelta(seconds=int(time.monotonic() - self.changed))
        return TargetFact(self.admitted, self.up, self.check, self.in_flight, age, self.endpoint)

    def close(self) -> None:
        self.admitted, self.up, self.check = False, False, CheckFact("none")

    def open(self, *, up: bool = True) -> None:
        if not self.admitted:
            self.admitted, self.up, self.changed = True, up, time.monotonic()


class FakePlane:
    """A `DataPlane` whose requests and checks are made by the test. Safe to use from any thread.

    `calls` counts the calls that have started, by name. `objection` is what `check` returns.
    """

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        """The records of the access log, oldest first."""
        self.requests: list[ForwardedRequest] = []
        """The requests that `AccessLog.forwarded` yields, oldest first."""
        self.gets: list[tuple[str, LoggedRequest]] = []
        """The requests that `AccessLog.repeatable` yields, with their target groups, oldest first."""
        self.flows: list[FlowCounts] = []
        """The counts of flows, while it runs."""
        self.waiting: Counter[str] = Counter()
        """The number of requests that are held, by the id of the target group."""
        self.faults: dict[tuple[str, str], str] = {}
        """Why networks are not attached, by endpoint and name."""
        self.target_faults: dict[str, str] = {}
        """Why targets get nothing, whatever their health, by id."""
        self.open_flows: dict[tuple[str, PacketEnds], OpenFlow] = {}
        """The open flows, by endpoint and first packet."""
        self.calls: Counter[str] = Counter()
        self.objection: str | None = None
        self._lock = threading.RLock()
        self._config: PlaneConfig | None = None
        self._groups: dict[str, dict[str, _Server]] = {}
        self._answers: dict[str, CheckFact] = {}
        self._failures: dict[str, deque[BaseException | None]] = {}
        self._gates: dict[str, threading.Event] = {}
        # No process has a number above 2**22, so nothing waits for the exit of another one.
        self._pid = 2**22
        self._halted = False
        self.hangs = False
        self.cut_off = False
        """Observations fail until the plane is ended."""
        self._standing_by = False

    # For tests

    def fail(
        self, call: str, error: BaseException | None = None, *, skip: int = 0, times: int = 1, after: bool = False
    ) -> None:
        """Let calls of this name raise, after `skip` others: before their effect, or `after` it.

        A `BaseException` that is not an `Exception` simulates the death of the caller's process.
        """
        raised = error or BalancerFault(f"injected fault in {call}")
        planned = self._failures.setdefault(f"{call}, done" if after else call, deque())
        planned.extend([None] * skip + [raised] * times)

    def heal(self) -> None:
        """Remove all injected failures."""
        self._failures.clear()

    @contextmanager
    def hanging(self, call: str) -> Iterator[None]:
        """Let calls of this name hang until the block ends. `calls` counts them when they start."""
        gate = self._gates[call] = threading.Event()
        try:
            yield
        finally:
            del self._gates[call]
            gate.set()

    def forget(self) -> None:
        """Lose the state and the requests in flight, as a killed HAProxy does."""
        with self._lock:
            self._config, self._groups = None, {}

    def halt(self) -> None:
        """Stop its process, as SIGSTOP does. It stays so until `resume`."""
        self._halted = True

    def answer_checks(self, target: str, fact: CheckFact = _PASSED) -> None:
        """Set the result of a target's health checks. Without one, they do not end."""
        self._answers[target] = fact

    def run_checks(self) -> None:
        """Run one health check of every target. One failure makes a target unhealthy, one pass healthy."""
        with self._lock:
            for held in self._groups.values():
                for name, target in held.items():
                    if target.check.outcome == "none" or name not in self._answers:
                        continue
                    target.check = self._answers[name]
                    up = target.admitted and target.check.has_passed_check
                    if up != target.up:
                        target.up, target.changed = up, time.monotonic()

    def send(self, group: str) -> str | None:
        """Start a request and return its target, or None. If all are unhealthy, any of them may get it."""
        with self._lock:
            open_ = {name: target for name, target in self._groups.get(group, {}).items() if target.admitted}
            usable = [name for name, target in open_.items() if target.up] or list(open_)
            chosen = min(usable, key=lambda name: open_[name].in_flight, default=None)
            if chosen is not None:
                open_[chosen].in_flight += 1
            elif self._config is not None and _holds(self._config.groups[group]):
                self.waiting[group] += 1
            return chosen

    def finish(self, group: str, target: str) -> None:
        """End a request. Does nothing if it was aborted."""
        with self._lock:
            held = self._groups.get(group, {}).get(target)
            if held is not None and held.in_flight:
                held.in_flight -= 1

    # The data plane

    def check(self, wanted: PlaneConfig) -> str | None:
        with self._called("check"):
            return self.objection

    def choices(self, wanted: PlaneConfig) -> Mapping[int, PlaneChoice]:
        with self._called("choices"):
            only = PlaneChoice("HAProxy", "the fake plane has no other")
            return {each.number: only for each in wanted.listeners if isinstance(each, EffectiveNetworkListener)}

    def apply(self, wanted: PlaneConfig) -> bool:
        with self._called("apply"):
            started, reloaded = self._config is None, self._config is not None and not _same_shape(self._config, wanted)
            self._pid += started
            self._groups = {id_: self._groups.get(id_, {}) for id_ in wanted.groups}
            for id_, group in wanted.groups.items():
                if reloaded:
                    known = self._groups[id_]
                    self._groups[id_] = {n: held for n, held in known.items() if held.admitted or held.in_flight}
                self._steer(group)
            self._config = wanted
            return started

    def take_over(self, wanted: PlaneConfig) -> None:
        with self._called("take_over"):
            pass

    def steer(self, group: WantedGroup) -> None:
        with self._called("steer"):
            if group.id not in self._groups:
                raise BalancerFault(f"the fake plane does not carry {group.id}")
            self._steer(group)

    def extend(self, group: WantedGroup) -> bool:
        with self._called("extend"):
            known = self._groups.get(group.id)
            if known is None:
                return False
            for target in group.targets:
                if target.id in known:
                    self._remove(known, target.id)
                if target.id in known:
                    return False
                self._sync_target(known, target)
            return True

    def observe(self, groups: Collection[str] | None = None) -> Facts:
        with self._called("observe"):
            if self.hangs:
                raise BalancerFault("the fake plane does not respond")
            asked = self._groups.keys() if groups is None else self._groups.keys() & set(groups)
            targets = {
                id_: {
                    name: held.fact()._replace(fault=self.target_faults.get(name, ""))
                    for name, held in self._groups[id_].items()
                }
                for id_ in asked
            }
            return Facts(running=self._config is not None, at=SYSTEM.now(), targets=targets)

    def flow_counts(self) -> tuple[FlowCounts, ...]:
        with self._called("flow_counts"):
            return tuple(self.flows) if self._config is not None else ()

    def open_flow(self, endpoint: str, packet: PacketEnds) -> OpenFlow | None:
        with self._called("open_flow"):
            return self.open_flows.get((endpoint, packet))

    def network_faults(self) -> Mapping[tuple[str, str], str]:
        with self._called("network_faults"):
            return dict(self.faults)

    def held(self, group: str) -> int:
        with self._called("held"):
            return self.waiting[group]

    def abort(self, group: str, target: str) -> None:
        with self._called("abort"):
            held = self._groups.get(group, {}).get(target)
            if held is not None:
                held.in_flight = 0

    def maintain(self) -> None:
        with self._called("maintain"):
            pass

    def stop(self) -> None:
        with self._called("stop"):
            self.forget()

    def pid(self) -> int | None:
        with self._called("pid"):
            return self._pid if self._config is not None else None

    def stopped(self) -> tuple[int, ...]:
        with self._called("stopped"):
            return (self._pid,) if self._halted else ()

    def resume(self) -> tuple[int, ...]:
        with self._called("resume"):
            found, self._halted = (self._pid,) if self._halted else (), False
            return found

    def is_cut_off(self) -> bool:
        return self.cut_off and self.pid() is not None

    def end_if_hung(self) -> bool:
        with self._called("end_if_hung"):
            if not (self.hangs or self.is_cut_off()):
                return False
            self.hangs = self.cut_off = False
            self.forget()
            return True

    @contextmanager
    def standby(self) -> Iterator[None]:
        with self._called("standby"):
            if self._standing_by:
                raise BalancerFault("another process is on standby already")
            self._standing_by = True
        try:
            yield
        finally:
            self._standing_by = False

    def access_log(self) -> AccessLog:
        with self._called("access_log"):
            return FakeAccessLog(self.records, self.requests, self.gets)

    @contextmanager
    def _called(self, call: str) -> Iterator[None]:
        self.calls[call] += 1
        if gate := self._gates.get(call):
            gate.wait()
        self._raise_injected(call)
        with self._lock:
            yield
        self._raise_injected(f"{call}, done")

    def _raise_injected(self, when: str) -> None:
        planned = self._failures.get(when)
        if planned and (error := planned.popleft()):
            raise error

    def _steer(self, group: WantedGroup) -> None:
        known = self._groups[group.id]
        for target in group.targets:
            self._sync_target(known, target)
        for name in known.keys() - {target.id for target in group.targets}:
            self._remove(known, name)
        self._pass_held(group)

    def _sync_target(self, known: dict[str, _Server], target: WantedTarget) -> None:
        held = known.get(target.id)
        if target.is_leaving:
            if held is not None:
                held.close()
            return
        if held is not None and _is_registered_again(held, target):
            self._remove(known, target.id)
            held = known.get(target.id)
        if held is None:
            # A target that was admitted before a crash counts as healthy until a check fails.
            held = known[target.id] = _Server(target.endpoint)
            held.check = CheckFact("pending" if target.check else "none")
        if target.check is None:
            held.check = CheckFact("none")
        if target.admit:
            held.open()

    def _pass_held(self, group: WantedGroup) -> None:
        """Let an admitted target get what was held. The requests end at once."""
        if any(target.admit for target in group.targets):
            self.waiting[group.id] = 0

    def _remove(self, known: dict[str, _Server], name: str) -> None:
        """Close a server, and remove it unless it has requests in flight."""
        known[name].close()
        known[name].endpoint = _UNROUTABLE_ADDRESS
        if not known[name].in_flight:
            del known[name]


def _is_registered_again(held: _Server, target: WantedTarget) -> bool:
    if held.endpoint != target.endpoint:
        return True
    return not target.admit and (held.admitted or held.check.outcome == "none")


def _holds(group: WantedGroup) -> bool:
    return isinstance(group.settings, ApplicationTargetGroup) and group.settings.hold_time is not None


def _same_shape(one: PlaneConfig, other: PlaneConfig) -> bool:
    """Return whether two configurations differ in their targets only, which needs no reload."""
    bare = [{id_: replace(group, targets=()) for id_, group in config.groups.items()} for config in (one, other)]
    return one.listeners == other.listeners and bare[0] == bare[1]
