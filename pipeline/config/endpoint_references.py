"""Checks of endpoint services and endpoints against the rest of pipeline.yaml. They use the raw data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.base.errors import Problem
from pipeline.base.suggestion import did_you_mean
from pipeline.config.document import Document, KeyPath, mapping_at

_SERVICES: KeyPath = ("balancer", "endpoint_services")
_ENDPOINTS: KeyPath = ("balancer", "endpoints")


def check_endpoint_references(document: Document, data: dict[str, Any]) -> Iterator[Problem]:
    """Yield unknown load balancers of services, unknown services of endpoints, and networks with two endpoints."""
    balancers = mapping_at(data, "balancer", "load_balancers")
    services = mapping_at(data, *map(str, _SERVICES))
    for name in services:
        yield from _offers(document, (*_SERVICES, name, "load_balancers"), mapping_at(services, name), balancers)
    endpoints = mapping_at(data, *map(str, _ENDPOINTS))
    for name in endpoints:
        endpoint = mapping_at(endpoints, name)
        if own := _own_service(endpoint.get("service"), data.get("name")):
            yield from _connection(document, (*_ENDPOINTS, name), endpoint, own, services, balancers)
    yield from _attached_twice(document, endpoints)


def _offers(document: Document, path: KeyPath, service: dict[str, Any], balancers: dict[str, Any]) -> Iterator[Problem]:
    offered = service.get("load_balancers")
    for index, name in enumerate(offered if isinstance(offered, list) else []):
        if not isinstance(name, str) or not balancers:
            continue
        if name not in balancers:
            yield document.problem(
                (*path, index), f"there is no load balancer {name}", did_you_mean(name, sorted(balancers))
            )
        elif mapping_at(balancers, name).get("type", "application") != "gateway":
            reason = f"load balancer {name} is not a gateway load balancer, so it has no endpoints"
            yield document.problem((*path, index), reason, "name one of type: gateway")


def _connection(
    document: Document,
    path: KeyPath,
    endpoint: dict[str, Any],
    own: str,
    services: dict[str, Any],
    balancers: dict[str, Any],
) -> Iterator[Problem]:
    if own not in services:
        reason = f"there is no endpoint service {own}"
        hint = did_you_mean(own, sorted(services)) or "write PIPELINE/NAME for one of another pipeline"
        yield document.problem((*path, "service"), reason, hint)
        return
    zone, offered = endpoint.get("zone"), mapping_at(services, own).get("load_balancers")
    names = [name for name in offered if isinstance(name, str)] if isinstance(offered, list) else []
    zones = [_zones(mapping_at(balancers, name)) for name in names]
    known = sorted({each for found in zones for each in found})
    if isinstance(zone, str) and zones and all(zones) and zone not in known:
        reason = f"no load balancer of endpoint service {own} is enabled in {zone}"
        yield document.problem((*path, "zone"), reason, did_you_mean(zone, known))


def _attached_twice(document: Document, endpoints: dict[str, Any]) -> Iterator[Problem]:
    taken: dict[tuple[str, str], str] = {}
    for endpoint in endpoints:
        networks = mapping_at(endpoints, endpoint, "networks")
        for name in networks:
            for key in ("namespace", "docker_network"):
                place = mapping_at(networks, name).get(key)
                other = taken.setdefault((key, place), endpoint) if isinstance(place, str) else endpoint
                if other != endpoint:
                    path: KeyPath = (*_ENDPOINTS, endpoint, "networks", name, key)
                    what = f"namespace {place}" if key == "namespace" else f"network {place} of Docker"
                    reason = f"{what} is attached to endpoint {other}"
                    yield document.problem(path, reason, "a network has one endpoint")


def _own_service(service: Any, pipeline: Any) -> str | None:
    """Return the name of an endpoint's service if it is one of this pipeline."""
    if not isinstance(service, str):
        return None
    owner, slash, name = service.rpartition("/")
    return name if not slash or owner == pipeline else None


def _zones(balancer: dict[str, Any]) -> list[str]:
    """Return the zones of a load balancer, which are a mapping or a list."""
    found = balancer.get("zones")
    return [zone for zone in found if isinstance(zone, str)] if isinstance(found, dict | list) else []
