"""The wanted state as the maps have it, in the order in which they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.balancer.gateway.gateway_state import GatewayAttachment, GatewayEndpoint, GatewayState, GatewayTarget
from pipeline.balancer.gateway.path import records
from pipeline.balancer.gateway.path.interface import Interface

ADDED = ("targets", "links", "moved", "origins", "routes", "attachments")
"""The maps in the order in which entries are added, so that each finds what it refers to. They go in reverse."""

Entries = dict[bytes, bytes]


def entries(state: GatewayState, interfaces: Mapping[int, Interface]) -> dict[str, Entries]:
    """Return the entries of each map but those of pools. What is at a missing device is left out."""
    present: Callable[[GatewayTarget | GatewayAttachment], bool] = lambda each: each.ifindex in interfaces  # noqa: E731
    targets = {number: each for number, each in state.targets.items() if present(each)}
    found: dict[str, Entries] = {name: {} for name in ADDED}
    for number, target in targets.items():
        found["targets"][records.NUMBER.pack(number)] = records.target(target, interfaces[target.ifindex].mtu)
        found["links"][target.address.packed] = records.link(target)
    for number, pool in state.pools.items():
        found["moved"].update({records.pair(number, each): records.NUMBER.pack(1) for each in pool.rebalanced})
    for number, endpoint in state.endpoints.items():
        for attached in filter(present, endpoint.attachments):
            _add(found, number, endpoint, attached, interfaces[attached.ifindex].mac)
    return found


def _add(
    found: dict[str, Entries], number: int, endpoint: GatewayEndpoint, attached: GatewayAttachment, mac: bytes
) -> None:
    value = records.attachment(number, endpoint.id, endpoint.pool, attached)
    found["attachments"][records.NUMBER.pack(attached.ifindex)] = value
    found["origins"][records.origin(endpoint.id, attached.id)] = records.pair(number, endpoint.pool)
    for prefix in attached.prefixes:
        found["routes"][records.route_key(number, prefix)] = records.route(attached.ifindex, mac)
