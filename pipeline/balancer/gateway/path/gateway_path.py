"""The path of packets in the kernel of this machine, as a `PacketPath`."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path

from pipeline.balancer.gateway.gateway_state import (
    CLOSING_IDLE,
    OTHER_IDLE,
    FlowRecord,
    GatewayPool,
    GatewayState,
    PathCounts,
)
from pipeline.balancer.gateway.path import records
from pipeline.balancer.gateway.path.adoption import adopted, attached_maps, copy_missing
from pipeline.balancer.gateway.path.bpf import Map, load_program
from pipeline.balancer.gateway.path.faults import faults
from pipeline.balancer.gateway.path.gate import Gate
from pipeline.balancer.gateway.path.interface import Interface, forward_nothing
from pipeline.balancer.gateway.path.object_file import ObjectFile
from pipeline.balancer.gateway.path.records import DROP_REASONS, FlowAge, IdleTimes, PoolRecord
from pipeline.balancer.gateway.path.slot_rows import SlotRows
from pipeline.balancer.gateway.path.traffic_control import Filter, TrafficControl
from pipeline.balancer.gateway.path.written_state import ADDED, Entries, entries
from pipeline.base.errors import BalancerFault
from pipeline.base.home_id import home_id

# As in gate.c.
_IS_SHARED = 0
OBJECT = Path(__file__).with_name("gate.o")
ELB_IDLE = IdleTimes(OTHER_IDLE, CLOSING_IDLE)


class GatewayPath:
    """The path of one home, in the network namespace in which the thread is.

    What another process has left in the kernel is adopted: its flows stay, and its programs are replaced by ours
    without a gap. `idle` and `built` are for tests.
    """

    def __init__(self, home: str, *, idle: IdleTimes = ELB_IDLE, built: ObjectFile | None = None) -> None:
        self._idle = idle
        self._gate = Gate(home)
        with faults("load its programs"):
            self._control = TrafficControl(int(home[:7], 16) + 1)
            self._maps, self._programs = self._load(built or ObjectFile(OBJECT))
        self._rows = SlotRows(self._maps["slots"])

    @classmethod
    def open(cls, directory: Path) -> GatewayPath:
        """Load or adopt the path of the home in a directory. Raises `BalancerFault`."""
        return cls(home_id(directory))

    def write(self, state: GatewayState) -> None:
        numbers = {each.ifindex for each in state.targets.values()}
        places = {each.ifindex for endpoint in state.endpoints.values() for each in endpoint.attachments}
        with faults("write its state"):
            gates = self._gate.ensure()
            for number, gate in enumerate(gates):
                self._maps["gates"].put(records.NUMBER.pack(number), records.NUMBER.pack(gate))
            interfaces = _interfaces(numbers | places)
            wanted = entries(state, interfaces)
            self._add(wanted, state.pools)
            programs = {gates[0]: "to_network", gates[1]: "to_neighbour"}
            programs |= dict.fromkeys(numbers & interfaces.keys(), "from_appliance")
            programs |= dict.fromkeys(places & interfaces.keys(), "to_appliance")
            for each in places & interfaces.keys():
                forward_nothing(interfaces[each].name)
            self._attach(programs)
            is_shared = any(map(self._control.has_others, numbers & interfaces.keys()))
            self._maps["settings"].put(records.NUMBER.pack(_IS_SHARED), records.NUMBER.pack(is_shared))
            self._remove_others(wanted, state)
        if missing := sorted((numbers | places) - interfaces.keys()):
            raise BalancerFault(f"gateway: network device {missing[0]} is gone, or is not one of Ethernet")

    def flows(self) -> Iterator[FlowRecord]:
        with faults("read its flows"):
            for key, value in chain.from_iterable(table.batches() for table in self._flow_tables()):
                # The others choose again with their next packet.
                if (record := records.flow(key, value)).target:
                    yield record

    def end_flows(self, target: int) -> None:
        with faults("end flows"):
            for table in self._flow_tables():
                for key, value in table.batches():
                    # Read again, so that as little as possible of what happens meanwhile is overwritten.
                    if FlowAge.of(key, value).target == target and (now := table.get(key)) is not None:
                        table.replace(key, records.without_target(now))

    def expire(self, now: float) -> Mapping[tuple[int, int], int]:
        times, left = self._idle_times(), Counter[tuple[int, int]]()
        with faults("expire flows"):
            for table in self._flow_tables():
                for key, value in table.batches():
                    flow = FlowAge.of(key, value)
                    # Read again, because a packet may have come since.
                    if _is_over(flow, times, now) and _is_over(_again(table, key), times, now):
                        table.remove(key)
                    elif flow.target:
                        left[flow.endpoint, flow.target] += 1
        return left

    def counts(self) -> PathCounts:
        with faults("read its counts"):
            traffic = {records.numbers(key): records.traffic(value) for key, value in self._maps["traffic"].items()}
            drops = {
                (endpoint, DROP_REASONS[reason]): records.total(value)
                for (endpoint, reason), value in (
                    (records.numbers(key), each) for key, each in self._maps["drops"].items()
                )
            }
        return PathCounts(traffic, drops)

    def close(self) -> None:
        for descriptor in self._programs.values():
            os.close(descriptor)
        for each in self._maps.values():
            each.close()
        self._control.close()
        self._programs, self._maps = {}, {}

    def remove(self) -> None:
        with faults("remove itself"):
            for ifindex in self._attached():
                self._control.detach(ifindex)
            self._gate.remove()

    def _load(self, built: ObjectFile) -> tuple[dict[str, Map], dict[str, int]]:
        """Adopt what is attached, or make it. Everything attached runs our programs on return."""
        former = self._attached()
        found = attached_maps(each.program for each in former.values() if each.program)
        maps = adopted(built.maps(), found)
        descriptors = {name: each.descriptor for name, each in maps.items()}
        programs = {name: load_program(name, code) for name, code in built.programs(descriptors).items()}
        for ifindex, each in former.items():
            if (name := each.name.split("+")[0]) in programs:
                self._control.attach(ifindex, programs[name], name)
        for name, old in found.items():
            if maps.get(name) is not old:
                # What the former programs have added since the copy.
                if name in maps:
                    copy_missing(old, maps[name])
                old.close()
        return maps, programs

    def _attached(self) -> dict[int, Filter]:
        """Return our filters by the number of the device."""
        found = {ifindex: self._control.attached(ifindex) for ifindex, _ in socket.if_nameindex()}
        return {ifindex: each for ifindex, each in found.items() if each is not None}

    def _attach(self, wanted: Mapping[int, str]) -> None:
        """Attach our programs to these devices, and to no others."""
        former = self._attached()
        for ifindex, name in wanted.items():
            if ifindex not in former or former[ifindex].name.split("+")[0] != name:
                self._control.attach(ifindex, self._programs[name], name)
        for ifindex in former.keys() - wanted.keys():
            with suppress(OSError):
                self._control.detach(ifindex)

    def _add(self, wanted: Mapping[str, Entries], pools: Mapping[int, GatewayPool]) -> None:
        """Write what is wanted. A pool comes after its targets, and before the endpoints that use it."""
        for name in ADDED:
            for key, value in wanted[name].items():
                self._maps[name].put(key, value)
            if name == "links":
                self._write_pools(pools)

    def _write_pools(self, pools: Mapping[int, GatewayPool]) -> None:
        for number, pool in pools.items():
            written = {key: PoolRecord.unpacked(value) for key, value in self._maps["pools"].items()}
            key = records.NUMBER.pack(number)
            current = written[key].first_slot if key in written else None
            first = self._rows.write(pool.slots, current, [each.first_slot for each in written.values()])
            self._maps["pools"].put(key, PoolRecord.of(pool, self._idle, first).packed())

    def _remove_others(self, wanted: Mapping[str, Entries], state: GatewayState) -> None:
        """Remove what is not wanted, and the flows of endpoints that are gone."""
        known = {records.numbers(value)[0] for value in self._maps["origins"].values()}
        ended = known - state.endpoints.keys()
        kept = {**wanted, "pools": {records.NUMBER.pack(number): b"" for number in state.pools}}
        for name in (*reversed(ADDED[2:]), "pools", "links", "targets"):
            for key in self._maps[name].keys():  # noqa: SIM118
                if key not in kept[name]:
                    self._maps[name].remove(key)
        # Otherwise each replacement of appliances would leave some, until there is no room for more.
        for key in self._maps["traffic"].keys():  # noqa: SIM118
            endpoint, target = records.numbers(key)
            if endpoint not in state.endpoints or target not in state.targets:
                self._maps["traffic"].remove(key)
        for table in self._flow_tables() if ended else ():
            for key, value in table.batches():
                if FlowAge.of(key, value).endpoint in ended:
                    table.remove(key)

    def _flow_tables(self) -> tuple[Map, Map]:
        """Return the fresh flows, and those in which both ends take part. See gate.c.

        A flow may move from the first to the second while they are read. In this order, it is not missed.
        """
        return self._maps["fresh"], self._maps["flows"]

    def _idle_times(self) -> dict[int, PoolRecord]:
        """Return the pool of each endpoint by number."""
        with faults("read its state"):
            pools = {key: PoolRecord.unpacked(value) for key, value in self._maps["pools"].items()}
            users = [records.numbers(value) for value in self._maps["origins"].values()]
        return {endpoint: pools[key] for endpoint, pool in users if (key := records.NUMBER.pack(pool)) in pools}


def _interfaces(numbers: set[int]) -> dict[int, Interface]:
    """Return the devices that exist."""
    found = dict[int, Interface]()
    for number in numbers:
        with suppress(OSError):
            found[number] = Interface.of(number)
    return {number: each for number, each in found.items() if each.mac}


def _again(flows: Map, key: bytes) -> FlowAge | None:
    value = flows.get(key)
    return None if value is None else FlowAge.of(key, value)


def _is_over(flow: FlowAge | None, times: Mapping[int, PoolRecord], now: float) -> bool:
    if flow is None:
        return False
    pool = times.get(flow.endpoint)
    # Without its endpoint, it has ended already.
    return pool is None or pool.is_over(flow, now)
