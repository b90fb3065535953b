"""The path of packets, kept in agreement with the wanted endpoints and with HAProxy's servers."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

from pipeline.balancer.agent.flow_fact import FlowFact, FlowFacts
from pipeline.balancer.agent.servers import ServerReader, Servers
from pipeline.balancer.gateway.appliance_route import Unreachable, find_route
from pipeline.balancer.gateway.flow_key import FlowKey
from pipeline.balancer.gateway.flow_tally import PAUSE, FlowTally
from pipeline.balancer.gateway.gateway_state import GatewayTarget
from pipeline.balancer.gateway.numbers import Appliance, NumberFile, Numbers
from pipeline.balancer.gateway.packet_path import PacketPath
from pipeline.balancer.gateway.packet_sizes import packet_sizes
from pipeline.balancer.gateway.path_state import address_of, path_state
from pipeline.balancer.gateway.pool_choice import PoolChoice, appliances_of, pool_choices
from pipeline.balancer.gateway.wanted_gateway import GatewayFile, WantedGateway
from pipeline.base.errors import BalancerFault

# Seconds between calls of `sync` while appliances drain.
_DRAINING_PAUSE = 1.0


class GatewayKeeper:
    """The path of one balancer directory. All methods raise `BalancerFault`.

    `open_path`: called at the first need. `route`: the way to an appliance, see `find_route`. `read_servers`: see
    `ServerReader.read`.
    """

    def __init__(
        self,
        directory: Path,
        open_path: Callable[[], PacketPath],
        route: Callable[[IPv4Address], GatewayTarget] = find_route,
        read_servers: Callable[[Collection[str], Collection[str]], Servers | None] | None = None,
        tally: FlowTally | None = None,
    ) -> None:
        self._open_path = open_path
        self._route = route
        self._file = GatewayFile(directory)
        self._number_file = NumberFile(directory)
        self._numbers = self._number_file.read()
        self._read_servers = read_servers or ServerReader(directory).read
        self._tally = tally or FlowTally()
        self._path: PacketPath | None = None
        self._wanted: WantedGateway | None = None
        self._choices: Mapping[str, PoolChoice] = {}
        self._sizes: Mapping[str, int] = {}
        self._unreachable: Mapping[Appliance, str] = {}

    @property
    def pause(self) -> float:
        """The seconds until the next `sync`, if nothing wakes the agent. Fewer while appliances drain."""
        has_former = self._numbers.appliances.keys() - self._chosen()
        return _DRAINING_PAUSE if has_former else PAUSE

    def sync(self) -> None:
        """Bring the path to the wanted state. On return, an appliance that is not admitted gets no new flows.

        While HAProxy does not run, the appliances stay as they were. If another program removed the file of what is
        wanted, or damaged it, everything stays as it was.
        """
        wanted = self._wanted = self._file.found() or self._wanted
        servers = self._read_servers(wanted.backends, wanted.backends) if wanted else None
        if wanted is None or servers is None:
            return
        gone = self._gone(wanted, servers)
        present = appliances_of(wanted, servers)
        self._numbers = self._numbers.covering(present, wanted.pools, wanted.endpoints)
        # Written first: the flows that the path makes from now on have these numbers.
        self._number_file.write(self._numbers)
        reached = self._reached(gone, present)
        choices = pool_choices(wanted, servers, self._numbers.appliances, self._unreachable)
        strays = self._strays(wanted)
        self._choices = {key: each.without(strays.get(key, ())) for key, each in choices.items()}
        self._sizes = packet_sizes(wanted, reached)
        self._opened().write(path_state(_without_lost_devices(wanted), self._choices, self._numbers, reached))
        self._forget(gone)

    def is_wanted(self) -> bool:
        """Return whether there is a file of what is wanted."""
        return self._file.found() is not None

    def descriptors(self) -> tuple[int, ...]:
        """Return nothing: `sync` restores what other programs change, every few seconds."""
        return ()

    def is_intact(self) -> bool:
        """Return True. See `descriptors`."""
        return True

    def answer(self, request: Mapping[str, Any]) -> object:
        """Answer the requests facts, sizes, counts, cut and flow. See `Keeper`."""
        match request["do"]:
            case "facts":
                return self.facts()
            case "sizes":
                return self._sizes
            case "counts":
                return self.counts()
            case "cut":
                self.cut(request["group"], request["target"])
                return {}
            case "flow":
                return self.flow(request)
        raise ValueError(request["do"])

    def facts(self) -> FlowFacts:
        """Return the appliances that get new flows, have open ones, or cannot be reached, by group and id.

        Flows that choose again at their next packet do not count.
        """
        if self._path is None:
            return {}
        flows, chosen = self._staying_flows(), self._chosen()
        found = dict[str, dict[str, FlowFact]]()
        for each, number in self._numbers.appliances.items():
            group = found.setdefault(each.group, {})
            fault = self._unreachable.get(each, "")
            if flows[number] or each in chosen or fault:
                other = group.get(each.target, FlowFact(admitted=False, in_flight=0))
                has_new, in_flight = other.admitted or each in chosen, other.in_flight + flows[number]
                group[each.target] = FlowFact(has_new, in_flight, other.fault or fault)
        return found

    def counts(self) -> Mapping[str, object]:
        """Return what each appliance had of each endpoint, and what was dropped, in the shapes of `gateway_counts`."""
        if self._path is None:
            return {"traffic": [], "drops": []}
        counts, flows = self._path.counts(), self._tally.recent(self._path)
        endpoints = {number: id_ for id_, number in self._numbers.endpoints.items()}
        appliances = {number: each for each, number in self._numbers.appliances.items()}
        traffic = [
            [endpoints[key[0]], *appliances[key[1]][:2], flows[key], *one]
            for key, one in counts.traffic.items()
            if key[0] in endpoints and key[1] in appliances
        ]
        # Number 0 is that of packets without a known endpoint. What former endpoints dropped counts no more.
        endpoints[0] = ""
        drops = [[endpoints[key[0]], key[1], count] for key, count in counts.drops.items() if key[0] in endpoints]
        return {"traffic": traffic, "drops": drops}

    def cut(self, group: str, target: str) -> None:
        """End the flows of an appliance. Does nothing for an unknown one."""
        for each, number in self._numbers.appliances.items():
            if self._path is not None and (each.group, each.target) == (group, target):
                self._path.end_flows(number)
                self._tally.forget(number)

    def flow(self, request: Mapping[str, Any]) -> Mapping[str, object]:
        """Return the fields of an `OpenFlow` of an endpoint. Empty without such a flow.

        `request` has the endpoint's id and the fields of a `PacketEnds`.
        """
        wanted, number = self._wanted, self._numbers.endpoints.get(request["endpoint"])
        if self._path is None or wanted is None or number is None:
            return {}
        pool_key = wanted.endpoints[request["endpoint"]].pool
        pool = wanted.pools[pool_key]
        ports = int(request["source_port"]), int(request["target_port"])
        source, target = ip_address(request["source"]), ip_address(request["target"])
        key = FlowKey.of(source, target, int(request["protocol"]), ports).reduced(pool.fields)
        appliances = {number: each for each, number in self._numbers.appliances.items()}
        for flow in self._path.flows():
            if (flow.endpoint, flow.key) == (number, key) and flow.target in appliances:
                return {"target": appliances[flow.target].target, "stays": not self._moves(pool_key, flow.target)}
        return {}

    def clear(self) -> None:
        """Remove the path."""
        self._opened().remove()
        self._path = None
        self._numbers = Numbers()
        self._number_file.remove()

    def close(self) -> None:
        """Release the path, which goes on."""
        if self._path is not None:
            self._path.close()

    def _opened(self) -> PacketPath:
        if self._path is None:
            self._path = self._open_path()
        return self._path

    def _moves(self, pool: str, number: int) -> bool:
        """Return whether the flows of an appliance choose again."""
        choice = self._choices.get(pool, PoolChoice())
        return any(self._numbers.appliances.get(each) == number for each in choice.moving)

    def _staying_flows(self) -> Counter[int]:
        """Return the number of flows by the number of their appliance, without those that choose again."""
        path, wanted = self._opened(), self._wanted or WantedGateway()
        moving = {
            (self._numbers.endpoints.get(id_), self._numbers.appliances.get(each))
            for id_, endpoint in wanted.endpoints.items()
            for each in self._choices.get(endpoint.pool, PoolChoice()).moving
        }
        found = Counter[int]()
        for key, count in self._tally.recent(path).items():
            found[key[1]] += 0 if key in moving else count
        return found

    def _chosen(self) -> set[Appliance]:
        return {each for choice in self._choices.values() for each in choice.chosen}

    def _strays(self, wanted: WantedGateway) -> Mapping[str, set[Appliance]]:
        """Return the appliances of other groups that still have flows, by the pool that their endpoints use now."""
        appliances = {number: each for each, number in self._numbers.appliances.items()}
        pools = {self._numbers.endpoints[id_]: each.pool for id_, each in wanted.endpoints.items()}
        found = dict[str, set[Appliance]]()
        for endpoint, number in self._tally.recent(self._opened()):
            pool, appliance = pools.get(endpoint), appliances.get(number)
            if pool and appliance and appliance.group != wanted.pools[pool].group:
                found.setdefault(pool, set()).add(appliance)
        return found

    def _gone(self, wanted: WantedGateway, servers: Servers) -> list[Appliance]:
        """Return the appliances that are not registered any more and have no flows."""
        present = set(appliances_of(wanted, servers))
        former = [each for each in self._numbers.appliances if each not in present]
        # An appliance that HAProxy has removed, but that is still listed, is leaving.
        listed = {(id_, target) for id_, group in wanted.groups.items() for target in group.zones}
        ended = [each for each in former if each[:2] not in listed or self._is_elsewhere(each, present)]
        path = self._opened() if ended else None
        return [each for each in ended if path and not self._tally.of_target(path, self._numbers.appliances[each])]

    def _reached(self, gone: list[Appliance], present: list[Appliance]) -> dict[Appliance, GatewayTarget]:
        """Return the ways to the appliances that are not gone, and note why those of HAProxy cannot be reached."""
        reached, unreachable = dict[Appliance, GatewayTarget](), dict[Appliance, str]()
        for each in self._numbers.appliances.keys() - set(gone):
            try:
                reached[each] = self._route(address_of(each))
            except Unreachable as reason:
                unreachable[each] = str(reason)
            except OSError as error:
                raise BalancerFault(f"the kernel does not tell its routes: {error.strerror}") from error
        self._unreachable = {each: unreachable[each] for each in present if each in unreachable}
        return reached

    def _forget(self, gone: list[Appliance]) -> None:
        """Take the numbers of appliances that are gone from the path, which sends nothing to them any more."""
        for each in gone:
            self._opened().end_flows(self._numbers.appliances[each])
        if gone:
            self._numbers = self._numbers.without(gone)
            self._number_file.write(self._numbers)

    @staticmethod
    def _is_elsewhere(appliance: Appliance, present: set[Appliance]) -> bool:
        """Return whether the target has another address now."""
        return any(each[:2] == appliance[:2] for each in present)


def _without_lost_devices(wanted: WantedGateway) -> WantedGateway:
    """Return what is wanted without the networks whose devices are gone. The plane attaches them again."""
    existing = {index for index, _ in socket.if_nameindex()}
    return replace(
        wanted,
        endpoints={
            id_: replace(each, networks=tuple(network for network in each.networks if network.ifindex in existing))
            for id_, each in wanted.endpoints.items()
        },
    )
