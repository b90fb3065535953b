"""The report of `pipeline balancer endpoints` and of `GET /v1/balancer/endpoints`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.balancer.effective_endpoints import EffectiveEndpoint, effective_endpoints
from pipeline.http.responses.balancer_endpoint import AttachedNetworkResponse, EndpointResponse

_Faults = Mapping[tuple[str, str], str]


def endpoint_responses(balancer: BalancerReader) -> list[EndpointResponse]:
    """Return all endpoints by owner and name. Changes nothing and starts nothing."""
    found = effective_endpoints(balancer.registry())
    if not found:
        return []
    counts: dict[str, Counter[str]] = {}
    for each in balancer.flow_counts():
        if each.endpoint:
            counts.setdefault(each.endpoint, Counter()).update(each.counts)
    faults = balancer.network_faults()
    return [_response(each, faults, counts.get(each.endpoint.endpoint_id, {})) for each in found]


def _response(effective: EffectiveEndpoint, faults: _Faults, counts: Mapping[str, int]) -> EndpointResponse:
    endpoint, balancer = effective.endpoint, effective.load_balancer
    return EndpointResponse(
        id=endpoint.endpoint_id,
        name=endpoint.name,
        owner=endpoint.owner,
        service="/".join(endpoint.service),
        load_balancer=f"{balancer.name}.{balancer.owner}" if balancer else None,
        state=effective.state,
        reason=effective.reason,
        since=endpoint.connection.since.wall if endpoint.connection else None,
        zone=endpoint.settings.zone,
        networks=[
            AttachedNetworkResponse(
                name=name,
                kind=network.kind,
                place=network.place,
                addresses=list(map(str, network.addresses)),
                routes=list(map(str, network.routes)),
                fault=faults.get((endpoint.endpoint_id, name), ""),
            )
            for name, network in endpoint.settings.networks.items()
        ],
        counts=dict(counts),
    )
