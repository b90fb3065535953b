"""The counts of gateway load balancers. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pipeline.balancer.data_plane import FlowCount, FlowCounts
from pipeline.balancer.gateway.wanted_gateway import WantedGateway
from pipeline.balancer.model.gateway.listener import NO_PORT

NO_ENDPOINT = ""
"""The id of the endpoint of packets that belong to none."""
_KNOWN = frozenset(get_args(FlowCount))
_NOTHING: Mapping[FlowCount, int] = {"active": 0, "new": 0, "bytes": 0}


def gateway_counts(wanted: WantedGateway, found: Mapping[str, Iterable[Any]]) -> Iterator[FlowCounts]:
    """Yield the counts of each endpoint by appliance, and its drops, as counts of its load balancer's listener.

    `found` is the agent's answer to `counts`. Its `traffic` has endpoint, group, target, open flows, flows, packets and
    bytes, and its `drops` endpoint, reason and packets. What belongs to no endpoint counts for no load balancer: its
    owner and name are empty. An endpoint without traffic has counts of 0.
    """
    for id_, group, target, active, flows, _, octets in found["traffic"]:
        counts: dict[FlowCount, int] = {"active": active, "new": flows, "bytes": octets}
        yield from _of_endpoint(wanted, id_, f"gateway {id_} {group} {target}", counts)
    drops = defaultdict[str, dict[FlowCount, int]](dict, {id_: dict(_NOTHING) for id_ in wanted.endpoints})
    for id_, reason, packets in found["drops"]:
        name: Any = f"dropped_{reason}"
        if name in _KNOWN:
            drops[id_][name] = packets
    for id_, counts in drops.items():
        if id_ == NO_ENDPOINT:
            yield FlowCounts("gateway", "", "", NO_PORT, counts)
        yield from _of_endpoint(wanted, id_, f"gateway {id_}", counts)


def _of_endpoint(wanted: WantedGateway, id_: str, source: str, counts: Mapping[FlowCount, int]) -> Iterator[FlowCounts]:
    if endpoint := wanted.endpoints.get(id_):
        pool = wanted.pools[endpoint.pool]
        yield FlowCounts(source, pool.owner, pool.load_balancer, NO_PORT, counts, endpoint=id_)
