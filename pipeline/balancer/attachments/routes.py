"""The routes that lead a network's packets to its endpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import ip_network

from pipeline.balancer.attachments.fault import AttachmentFault, Conflict
from pipeline.balancer.attachments.record import AttachmentRecord
from pipeline.balancer.attachments.rtnetlink import ROUTE_OWNER, Net, Route, RoutingSocket
from pipeline.balancer.wanted_endpoint import WantedNetwork

_EVERYWHERE = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


def wanted_routes(network: WantedNetwork, others: Iterable[WantedNetwork]) -> tuple[Net, ...]:
    """Return the destinations of a network's routes to its endpoint. `others`: the other networks of the endpoint.

    The networks have their addresses, also if they are those of a network of Docker.
    """
    if network.routes:
        return tuple(map(ip_network, network.routes))
    if network.kind == "host":
        return tuple(dict.fromkeys(ip_network(each) for other in others for each in other.addresses))
    versions = dict.fromkeys(ip_network(each).version for each in network.addresses)
    return tuple(_EVERYWHERE[version] for version in versions)


def check_routes(
    routing: RoutingSocket, record: AttachmentRecord, wanted: Iterable[Net], leaving: Collection[str] = ()
) -> None:
    """Raise `Conflict` if a destination has a route that another program or person has made.

    `leaving`: names of devices of ours that are removed before, with their routes.
    """
    own = {link.number for name in (record.inner, *leaving) if (link := routing.link(name))}
    for route in (each for each in routing.routes() if each.link not in own):
        if route.destination in wanted:
            raise _conflict(routing, record, route)


def ensure_routes(routing: RoutingSocket, record: AttachmentRecord, index: int, wanted: tuple[Net, ...]) -> None:
    """Give a device these routes, and take others of ours away. Raises `Conflict` as `check_routes`."""
    check_routes(routing, record, wanted)
    known = {route.destination for route in routing.routes() if (route.link, route.owner) == (index, ROUTE_OWNER)}
    for destination in known.difference(wanted):
        routing.remove_route(index, destination)
    for destination in (each for each in wanted if each not in known):
        try:
            routing.add_route(index, destination)
        except OSError as error:
            reason = error.strerror or str(error)
            raise AttachmentFault(f"{record.label} takes no route to {destination}: {reason}") from None


def _conflict(routing: RoutingSocket, record: AttachmentRecord, route: Route) -> Conflict:
    device = next((link.name for link in routing.links() if link.number == route.link), "another device")
    family = "-6 " if route.destination.version == 6 else ""
    is_default = route.destination == _EVERYWHERE[route.destination.version]
    destination = "default" if is_default else str(route.destination)
    what = "a default route" if is_default else f"a route to {destination}"
    command = f"ip {family}route del {destination}"
    inside = f"nsenter --net={record.namespace} {command}" if record.kind == "namespace" else command
    return Conflict(
        f"{record.label} has {what} by device {device}",
        hint=f"remove it with `{inside}`, or list other destinations in routes",
    )
