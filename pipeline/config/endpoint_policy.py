"""What a commit's endpoints may attach. An attached network's packets go to appliances that the commit chooses."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from pipeline.balancer.model.gateway.attached_network import AttachedNetwork
from pipeline.balancer.model.gateway.gateway_endpoint import GatewayEndpoint

if TYPE_CHECKING:
    from pipeline.config.models import Pipeline

ENDPOINT_NETWORK = r"^(host|(docker_network|namespace)/[!-~]+)$"
"""The form of a network in a policy, and in `penstock:network` of a subnet."""

_Attachment = tuple[str, frozenset[str], frozenset[str]]


def endpoint_objections(allowed: Collection[str] | None, pipeline: Pipeline, served: Pipeline | None) -> Iterator[str]:
    """Yield the networks that a commit must not attach. None: those of `served`, with its addresses and routes."""
    known = {attachment for _, attachment in _attachments(served)} if served else set()
    places = {place for place, _, _ in known} if allowed is None else {*allowed}
    for name, attachment in _attachments(pipeline):
        place = attachment[0]
        if place not in places:
            where = "in endpoint_networks"
            where = f"neither in the served file nor {where} of a policy" if allowed is None else f"not {where}"
            yield f"its endpoint {name} attaches {place}, which is {where}"
        elif allowed is None and attachment not in known:
            yield f"its endpoint {name} attaches {place} with other addresses or routes than the served file"


def _attachments(pipeline: Pipeline) -> Iterator[tuple[str, _Attachment]]:
    endpoints = pipeline.balancer.endpoints if pipeline.balancer else {}
    for name, endpoint in endpoints.items():
        for network in endpoint.networks.values():
            addresses = frozenset(map(str, network.addresses))
            yield name, (network.reference, addresses, _routes(network, endpoint))


def _routes(network: AttachedNetwork, endpoint: GatewayEndpoint) -> frozenset[str]:
    """Return what leads from a network to its endpoint. From this machine, it is what the other networks have."""
    if network.routes or network.kind != "host":
        return frozenset(map(str, network.routes))
    others = (each for each in endpoint.networks.values() if each is not network)
    return frozenset(part for each in others for part in (each.reference, *map(str, each.addresses)))
