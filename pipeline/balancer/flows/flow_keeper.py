"""The kernel's table, kept in agreement with the wanted listeners and HAProxy's servers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pipeline.balancer.agent.flow_fact import FlowFact, FlowFacts
from pipeline.balancer.agent.servers import ServerReader
from pipeline.balancer.flows.flow_counter import FlowCounter
from pipeline.balancer.flows.flow_state import chosen_targets, failed_targets, flow_state
from pipeline.balancer.flows.left_listeners import LeftListener, blocked_listeners, left_listeners
from pipeline.balancer.flows.marks import MarkedTarget, MarkFile, Marks, with_marks, without
from pipeline.balancer.flows.wanted_flows import FlowFile, WantedFlows
from pipeline.balancer.haproxy.naming import group_of
from pipeline.balancer.kernel.conntrack import FlowCount, cut_flows
from pipeline.balancer.kernel.flow import FlowState
from pipeline.balancer.kernel.forwarding import Place
from pipeline.balancer.kernel.table import KernelTable, Traffic
from pipeline.base.errors import BalancerFault
from pipeline.base.home_id import home_id

_MARKS = "flow-marks.json"
# Seconds between calls of `sync`: usually, and while targets drain.
_PAUSE, _DRAINING_PAUSE = 30.0, 1.0


class FlowKeeper:
    """The table of one balancer directory. All methods raise `BalancerFault`."""

    def __init__(self, directory: Path) -> None:
        self._home = home_id(directory)
        self._table = KernelTable(directory, self._home)
        self._file = FlowFile(directory)
        self._mark_file = MarkFile(directory / _MARKS)
        self._counter = FlowCounter()
        self._servers = ServerReader(directory)
        self._marks = self._mark_file.read()
        self._wanted: WantedFlows | None = None
        self._chosen = frozenset[MarkedTarget]()
        self._deliverable = frozenset[MarkedTarget]()
        self._has_draining = False
        self.left: list[LeftListener] = []
        """The nodes that the last `sync` left to HAProxy, and those whose flows Docker drops."""

    @property
    def pause(self) -> float:
        """The seconds until the next `sync`, if nothing wakes the agent. Fewer while targets drain."""
        return _DRAINING_PAUSE if self._has_draining else _PAUSE

    def sync(self) -> None:
        """Bring the table to the wanted state. On return, a target that is not admitted gets no new flows.

        While HAProxy does not run, the targets stay as they were. If another program removed the file of what is
        wanted, or damaged it, the listeners stay as they were.
        """
        wanted = self._wanted = self._file.found() or self._wanted
        servers = self._servers.read(wanted.groups, _used(wanted)) if wanted else None
        if wanted is None or servers is None:
            return
        chosen = chosen_targets(wanted, servers)
        flows = self._counter.exact(self._marks_besides(chosen))
        self._update_marks(chosen, flows)
        draining = [marked for marked, mark in self._marks.items() if mark in flows and marked not in chosen]
        undeliverable = self._undeliverable(wanted, chosen)
        self._apply(flow_state(wanted, servers, self._marks, draining, undeliverable))
        self.left = [
            *left_listeners(wanted, chosen, undeliverable),
            *blocked_listeners(wanted, chosen, undeliverable),
        ]
        self._chosen, self._has_draining = frozenset(chosen), bool(draining)
        for marked in failed_targets(wanted, servers):
            if marked in self._marks:
                cut_flows(self._marks[marked])

    def answer(self, request: Mapping[str, Any]) -> object:
        """Answer the requests facts, counts, left and cut. See `Keeper`.

        With `exact`, facts count all flows now, which may take seconds on a busy machine.
        """
        match request["do"]:
            case "facts":
                return self.facts(exact="exact" in request)
            case "counts":
                return {"traffic": self.traffic(), "facts": self.facts()}
            case "left":
                return self.left
            case "cut":
                self.cut(request["group"], request["target"])
                return {}
        raise ValueError(request["do"])

    def is_wanted(self) -> bool:
        """Return whether there is a file of what is wanted."""
        return self._file.found() is not None

    def facts(self, *, exact: bool = False) -> FlowFacts:
        """Return the targets that get new flows or have open ones, by group and id.

        The flows of targets that get no new ones are counted now. Those of the others too if `exact`, which may take
        seconds on a busy machine, and otherwise a short time ago.
        """
        chosen = [self._marks[marked] for marked in self._chosen]
        known = self._counter.exact(chosen) if exact else self._counter.recent() if chosen else {}
        leaving = self._counter.exact(self._marks_besides(self._chosen))
        flows = {**{mark: known[mark] for mark in chosen if mark in known}, **leaving}
        found = dict[str, dict[str, FlowFact]]()
        for marked, mark in self._marks.items():
            count, group = flows.get(mark, FlowCount(0, 0)).open, found.setdefault(group_of(marked.group), {})
            admitted = marked in self._chosen
            if count or admitted:
                other = group.get(marked.target, FlowFact(admitted=False, in_flight=0))
                group[marked.target] = FlowFact(other.admitted or admitted, other.in_flight + count)
        return found

    def cut(self, group: str, target: str) -> None:
        """End the flows of a target. Does nothing for an unknown one."""
        for marked, mark in self._marks.items():
            if (group_of(marked.group), marked.target) == (group, target):
                cut_flows(mark)

    def traffic(self) -> Mapping[str, Mapping[str, Traffic]]:
        """Return what each target had, by group and id."""
        counted, found = self._table.traffic(), dict[str, dict[str, Traffic]]()
        for marked, mark in self._marks.items():
            if traffic := counted.get(mark):
                group = found.setdefault(group_of(marked.group), {})
                other = group.get(marked.target, Traffic(0, 0))
                group[marked.target] = Traffic(other.flows + traffic.flows, other.bytes + traffic.bytes)
        return found

    def descriptors(self) -> tuple[int, ...]:
        """Return descriptors that are readable when the rules of the machine have changed."""
        try:
            return (self._table.fileno(),)
        except BalancerFault:
            return ()

    def is_intact(self) -> bool:
        """Return whether the table is as the last `sync` left it."""
        return self._table.is_intact()

    def clear(self) -> None:
        """Empty the table, and remove it if no flow of another program depends on it."""
        self._table.apply(FlowState())
        self._table.remove_unless_last()

    def close(self) -> None:
        """End the child process. The table stays."""
        self._table.close()

    def _update_marks(self, chosen: list[MarkedTarget], flows: Mapping[int, FlowCount]) -> None:
        """Give marks to new targets, and take them from those that have no flows any more."""
        # A packet may still be on its way through the rules that the last change replaced.
        before, used = self._marks, self._chosen.union(chosen)
        gone = {marked for marked, mark in before.items() if not (marked in used or mark in flows)}
        self._marks = self._with_marks(without(before, gone), chosen)
        if self._marks is not before:
            self._mark_file.write(self._marks)

    def _with_marks(self, known: Marks, chosen: list[MarkedTarget]) -> Marks:
        """Return `known` with marks for new targets, which no flow has."""
        if known.keys() >= set(chosen):
            return known
        # Another home may have them, or had them until its table was removed.
        taken = self._table.other_marks()
        while True:
            found = with_marks(known, chosen, taken, self._home)
            used = self._counter.exact([mark for marked, mark in found.items() if marked not in known])
            if not used:
                return found
            taken |= used.keys()

    def _marks_besides(self, chosen: Collection[MarkedTarget]) -> list[int]:
        getting_flows = set(chosen)
        return [mark for marked, mark in self._marks.items() if marked not in getting_flows]

    def _undeliverable(self, wanted: WantedFlows, chosen: list[MarkedTarget]) -> list[MarkedTarget]:
        """Return the targets to which Docker drops what the kernel forwards. Those of TCP and UDP are asked for TCP."""
        of_tcp = {id_ for each in wanted.listeners if each.protocol == "tcp" for id_, _ in each.groups}
        unknown = {
            marked: Place(str(address), port, "tcp" if marked.group in of_tcp else "udp")
            for marked in chosen
            if marked not in self._deliverable
            for address, port in [marked.place]
        }
        dropped = self._table.undeliverable(set(unknown.values()))
        found = [marked for marked, place in unknown.items() if place in dropped]
        # Only what is found to be dropped is asked for again: a container keeps its ports as long as its address.
        self._deliverable = self._deliverable.intersection(chosen).union(unknown).difference(found)
        return found

    def _apply(self, state: FlowState) -> None:
        self._table.apply(state)
        if not self._table.is_intact():
            raise BalancerFault(
                f"nftables: another program keeps changing the table {self._table.name}",
                hint="let it leave tables named penstock_ alone",
            )


def _used(wanted: WantedFlows) -> set[str]:
    return {id_ for listener in wanted.listeners for id_, _ in listener.groups}
