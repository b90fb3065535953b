"""A data plane with an agent, which carries some target groups beside the plane that carries the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Generic, TypeVar

from pipeline.balancer.access import AccessLog
from pipeline.balancer.agent.flow_fact import FlowFacts, parse_facts, with_flows
from pipeline.balancer.agent.lost_file import has_lost_file
from pipeline.balancer.agent.requests import AgentClient
from pipeline.balancer.agent.wanted_file import Wanted, WantedFile
from pipeline.balancer.companion import Companion
from pipeline.balancer.data_plane import DataPlane, Facts, FlowCounts, OpenFlow, PacketEnds, PlaneConfig, WantedGroup
from pipeline.balancer.plane_choice import PlaneChoice
from pipeline.base.errors import BalancerFault

# Seconds in which the agent answers, unless it hangs or a signal has stopped it.
PING_TIMEOUT = 3.0
_T = TypeVar("_T", bound=Wanted)


class PlaneWithAgent(ABC, Generic[_T]):
    """The base of a `DataPlane` whose agent carries some groups. `inner` carries the others, and checks all targets.

    `file` is that of what the agent is to keep.
    """

    def __init__(self, inner: DataPlane, agent: Companion, client: AgentClient, file: WantedFile[_T]) -> None:
        self._inner = inner
        self._agent = agent
        self._client = client
        self._file = file

    @abstractmethod
    def _carried(self) -> set[str]:
        """Return the target groups that the agent carries."""

    @abstractmethod
    def _own_counts(self) -> Iterable[FlowCounts]:
        """Return the counts of the agent. Raises `BalancerFault`."""

    @abstractmethod
    def _right_fault(self) -> BalancerFault | None:
        """Return what keeps this process from changing what the agent keeps, or None."""

    @abstractmethod
    def _stop_agent(self) -> None:
        """End the agent with what it keeps, and remove the file of it. Does nothing if there is neither."""

    def check(self, wanted: PlaneConfig) -> str | None:
        return self._inner.check(wanted)

    def choices(self, wanted: PlaneConfig) -> Mapping[int, PlaneChoice]:
        return self._inner.choices(wanted)

    def take_over(self, wanted: PlaneConfig) -> None:
        self._inner.take_over(wanted)

    @abstractmethod
    def apply(self, wanted: PlaneConfig) -> bool: ...

    @abstractmethod
    def steer(self, group: WantedGroup) -> None: ...

    @abstractmethod
    def extend(self, group: WantedGroup) -> bool: ...

    def observe(self, groups: Collection[str] | None = None) -> Facts:
        facts = self._inner.observe(groups)
        if self._is_lost():
            # Nothing is known of the agent's groups, so the reconciliation that follows applies them all.
            return replace(facts, targets={})
        carried = self._carried() & facts.targets.keys()
        if not (facts.running and carried):
            return facts
        try:
            found = self._observed_flows()
        except BalancerFault:
            found = None
        if found is None:
            # Nothing is known of the flows of these groups. The reconciliation that follows revives the agent.
            others = {id_: targets for id_, targets in facts.targets.items() if id_ not in carried}
            return replace(facts, targets=others)
        merged = {id_: with_flows(facts.targets[id_], found.get(id_, {})) for id_ in carried}
        return replace(facts, targets={**facts.targets, **merged})

    def flow_counts(self) -> tuple[FlowCounts, ...]:
        known = self._inner.flow_counts()
        try:
            return (*known, *self._own_counts())
        except BalancerFault:
            # The agent is starting or hangs. Its counts go on with the next call.
            return known

    def open_flow(self, endpoint: str, packet: PacketEnds) -> OpenFlow | None:
        return self._inner.open_flow(endpoint, packet)

    def network_faults(self) -> Mapping[tuple[str, str], str]:
        return self._inner.network_faults()

    def held(self, group: str) -> int:
        return self._inner.held(group)

    def abort(self, group: str, target: str) -> None:
        self._inner.abort(group, target)
        if group in self._carried():
            self._client.ask("cut", group=group, target=target)

    def maintain(self) -> None:
        self._inner.maintain()

    def stop(self) -> None:
        self._inner.stop()
        self._stop_agent()

    def pid(self) -> int | None:
        return self._inner.pid()

    def stopped(self) -> tuple[int, ...]:
        return (*self._inner.stopped(), *self._agent.stopped())

    def resume(self) -> tuple[int, ...]:
        return (*self._inner.resume(), *self._agent.resume())

    def is_cut_off(self) -> bool:
        return self._inner.is_cut_off() or self._is_lost()

    def end_if_hung(self) -> bool:
        has_ended = self._inner.end_if_hung()
        if self._agent.running() is None or self._client.responds(PING_TIMEOUT):
            return has_ended
        self._agent.kill()
        return True

    def standby(self) -> AbstractContextManager[None]:
        return self._inner.standby()

    def access_log(self) -> AccessLog:
        return self._inner.access_log()

    def _observed_flows(self) -> FlowFacts | None:
        """Return the flows of the agent's groups, None if they are not carried now. Raises `BalancerFault`."""
        return self._facts(PING_TIMEOUT)

    def _facts(self, timeout: float = 10.0, **arguments: str) -> FlowFacts:
        return parse_facts(self._client.ask("facts", timeout, **arguments))

    def _is_lost(self) -> bool:
        return has_lost_file(self._agent, self._file)

    def _ensure_agent(self) -> None:
        # A process without the right to change what an agent keeps must not replace one that has it, or start one.
        if (fault := self._right_fault()) is None:
            self._agent.ensure_current()
        elif self._agent.running() is None:
            raise fault
