"""The networks of endpoints, attached: each has a device whose other end is in this machine's own namespace.

Each call completes what a crash has interrupted. A network is written down before anything is made for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.balancer.attachments import namespaces
from pipeline.balancer.attachments.cable import Cable, remove
from pipeline.balancer.attachments.docker_network import DockerNetwork, EngineAway, find_network
from pipeline.balancer.attachments.fault import AttachmentFault, Conflict, Missing, kernel_fault
from pipeline.balancer.attachments.record import AttachmentFile, AttachmentRecord, home_alias
from pipeline.balancer.attachments.router import ensure_router, write_settings
from pipeline.balancer.attachments.routes import check_routes, ensure_routes, wanted_routes
from pipeline.balancer.attachments.rtnetlink import Link, Net, RoutingSocket, Veth
from pipeline.balancer.wanted_endpoint import WantedEndpoint, WantedNetwork
from pipeline.base.errors import ConfigError

_Key = tuple[str, str]
_Records = dict[_Key, AttachmentRecord]


@dataclass(frozen=True)
class Attached:
    """A network that is attached. Its packets come in at the device with the number `ifindex`, of this namespace.

    `network` has its addresses, also if they are those of a network of Docker. `attachment` is a number of 64 bits that
    never changes.
    """

    endpoint: WantedEndpoint
    network: WantedNetwork
    ifindex: int
    attachment: int


class Attachments:
    """The attached networks of one balancer directory. `home` is the id in the names of its devices.

    Callers hold the balancer's lock, and stay in one network namespace.
    """

    def __init__(self, directory: Path, home: str, find: Callable[[str], DockerNetwork] = find_network) -> None:
        self._home = home
        self._file = AttachmentFile(directory)
        self._find = find

    def check(self, wanted: Sequence[WantedEndpoint]) -> None:
        """Raise `ConfigError` if a network is not as its endpoint needs it. One that is missing may come later.

        Changes nothing.
        """
        known = self._file.read()
        records = self._wanted(wanted, known)
        leaving = [record.inner for record in _leaving(known, records)]
        for endpoint, network in _networks(wanted):
            try:
                self._check(records, endpoint, network, leaving)
            except Conflict as fault:
                what = f"network {network.name} of endpoint {endpoint.name} of {endpoint.owner}"
                raise ConfigError(f"{what}: {fault.message}", hint=fault.hint) from None
            except (AttachmentFault, OSError):
                # Without the right, nothing can be said of a namespace.
                continue

    def attached(self, wanted: Sequence[WantedEndpoint]) -> tuple[Attached, ...]:
        """Attach the networks of these endpoints, and detach all others. Return those that are attached.

        `faults` says why the others are not. The next call attaches a network that is back, and changes nothing if all
        is as wanted. Raises `AttachmentFault` without the right to make devices.
        """
        known = self._file.read()
        records = {key: self._described(record) for key, record in self._wanted(wanted, known).items()}
        try:
            for record in _leaving(known, records):
                _remove(record)
            # The file may have been lost, with what it had of networks that are not wanted any more.
            self._remove_leftovers({record.number for record in records.values()})
            # Before anything is made.
            self._file.write(records.values())
            found = [self._attach(records, endpoint, network) for endpoint in wanted for network in endpoint.networks]
        except OSError as error:
            raise kernel_fault(error) from error
        self._file.write(records.values())
        return tuple(each for each in found if each)

    def limit(self, sizes: Mapping[str, int]) -> None:
        """Let endpoints take no packets of more than so many bytes. The kernel tells senders of larger ones.

        `sizes`: by the id of the endpoint. Others stay as they are.
        """
        known = self._file.read()
        wanted = {key: replace(each, size=sizes.get(each.endpoint, each.size)) for key, each in known.items()}
        if wanted == known:
            return
        try:
            for key in wanted.keys() - {key for key, each in known.items() if each == wanted[key]}:
                _resize(wanted[key])
        except OSError as error:
            raise kernel_fault(error) from error
        # Last: until then, the next call repeats what a crash has interrupted.
        self._file.write(wanted.values())

    def has_limits(self, sizes: Mapping[str, int]) -> bool:
        """Return whether `limit` was called with these sizes."""
        return all(each.size == sizes.get(each.endpoint, each.size) for each in self._file.read().values())

    def detach_all(self) -> None:
        """Remove all that was made, and what a crash or a lost file has left of this home."""
        records = self._file.read()
        try:
            for record in records.values():
                _remove(record)
            self._remove_leftovers(set())
        except OSError as error:
            raise kernel_fault(error) from error
        self._file.write([])

    def faults(self) -> Mapping[tuple[str, str], AttachmentFault]:
        """Return why networks are not attached, by the id of the endpoint and the network's name. Changes nothing."""
        return {
            key: AttachmentFault(each.fault, hint=each.hint or None)
            for key, each in self._file.read().items()
            if each.fault
        }

    def stamp(self) -> object:
        """Return what changes if a network goes, comes or is made again, so `attached` has to be called.

        So it does if another program changes its devices or removes their routes. It takes no lock and asks no engine,
        and is cheap enough to call every second.
        """
        with RoutingSocket() as here:
            links = {link.name: link for link in here.links()}
        return tuple(_state(record, links) for record in self._file.read().values())

    def _wanted(self, wanted: Sequence[WantedEndpoint], known: Mapping[_Key, AttachmentRecord]) -> _Records:
        """Return the record of each wanted network: a new one if it is at another place than before."""
        fresh = (AttachmentRecord.of(self._home, endpoint, network) for endpoint, network in _networks(wanted))
        return {
            new.key: old if (old := known.get(new.key)) and (old.kind, old.place) == (new.kind, new.place) else new
            for new in fresh
        }

    def _described(self, record: AttachmentRecord) -> AttachmentRecord:
        """Return a record with what the engine says of the network. If the engine is away, it stays as it was."""
        if record.kind != "docker_network":
            return replace(record, fault="", hint="")
        try:
            found = self._find(record.place)
        except EngineAway as fault:
            return record if record.bridge else _with_fault(record, fault)
        except AttachmentFault as fault:
            return _with_fault(replace(record, bridge=""), fault)
        return replace(
            record,
            bridge=found.bridge,
            gateway=found.gateway,
            mtu=found.mtu,
            addresses=found.subnets,
            fault="",
            hint="",
        )

    def _check(
        self, records: _Records, endpoint: WantedEndpoint, network: WantedNetwork, leaving: Collection[str]
    ) -> None:
        record = records[endpoint.id, network.name]
        if record.kind == "docker_network":
            self._find(record.place)
        with namespaces.routing_in(record.namespace) as (_, routing):
            check_routes(routing, record, wanted_routes(*_with_addresses(endpoint, network, records)), leaving)

    def _attach(self, records: _Records, endpoint: WantedEndpoint, network: WantedNetwork) -> Attached | None:
        """Attach one network. Its record gets the fault if that is not possible."""
        key = (endpoint.id, network.name)
        record = records[key]
        if record.kind == "docker_network" and not record.bridge:
            return None
        try:
            index = self._device(record, wanted_routes(*_with_addresses(endpoint, network, records)))
        except (Missing, Conflict) as fault:
            _remove(record)
            records[key] = _with_fault(record, fault)
        except AttachmentFault as fault:
            records[key] = _with_fault(record, fault)
        else:
            records[key] = replace(record, fault="", hint="")
            return Attached(endpoint, _addressed(network, record), index, _number(record))
        return None

    def _device(self, record: AttachmentRecord, routes: tuple[Net, ...]) -> int:
        """Make the device of a network with its routes. Return the number of its other end, which is here."""
        alias = record.alias(self._home)
        if record.kind == "docker_network":
            ensure_router(record, alias)
        with namespaces.routing_in(record.namespace) as (namespace, there), RoutingSocket() as here:
            check_routes(there, record, routes)
            # Both ends have one address, because without ARP each sends to its own.
            mac = record.mac("cable")
            near, far = (Veth(name, mac, record.size, has_arp=False) for name in (record.outer, record.inner))
            outer, inner = Cable(near, far, alias).ensure(here, there, namespace)
            # Answers may come from any address.
            loose = {f"ipv4/conf/{record.inner}/rp_filter": "2"}
            namespaces.within(namespace, lambda: write_settings(loose))
            ensure_routes(there, record, inner.number, routes)
            return outer.number

    def _remove_leftovers(self, kept: Set[str]) -> None:
        """Remove the devices of this home, and the routers behind them, whose numbers are none of these."""
        beginning = home_alias(self._home)
        with RoutingSocket() as here:
            found = {link.name.partition("-")[2] for link in here.links() if link.alias.startswith(beginning)}
        for number in sorted(found - kept):
            _remove(AttachmentRecord("", "", "docker_network", "", number))


def _networks(wanted: Iterable[WantedEndpoint]) -> Iterator[tuple[WantedEndpoint, WantedNetwork]]:
    return ((endpoint, network) for endpoint in wanted for network in endpoint.networks)


def _with_fault(record: AttachmentRecord, fault: AttachmentFault) -> AttachmentRecord:
    return replace(record, fault=fault.message, hint=fault.hint or "")


def _site(record: AttachmentRecord) -> tuple[object, ...]:
    """Return what the devices of a network depend on. After a change, they are made again."""
    return (record.kind, record.place, record.bridge, record.gateway, record.mtu)


def _leaving(known: Mapping[_Key, AttachmentRecord], wanted: Mapping[_Key, AttachmentRecord]) -> list[AttachmentRecord]:
    """Return the records of the devices that are removed."""
    return [record for key, record in known.items() if key not in wanted or _site(record) != _site(wanted[key])]


def _addressed(network: WantedNetwork, record: AttachmentRecord) -> WantedNetwork:
    return network if network.addresses else replace(network, addresses=record.addresses)


def _with_addresses(
    endpoint: WantedEndpoint, network: WantedNetwork, records: Mapping[_Key, AttachmentRecord]
) -> tuple[WantedNetwork, list[WantedNetwork]]:
    """Return a network and the others of its endpoint, all with their addresses."""
    found = {each.name: _addressed(each, records[endpoint.id, each.name]) for each in endpoint.networks}
    return found[network.name], [each for name, each in found.items() if name != network.name]


def _number(record: AttachmentRecord) -> int:
    digest = hashlib.sha256(f"{record.endpoint} {record.network}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _remove(record: AttachmentRecord) -> None:
    """Remove the devices of a network and its router, as far as they exist."""
    with RoutingSocket() as here:
        for name in (record.outer, record.port):
            remove(here, here.link(name))
    if record.kind == "docker_network":
        namespaces.remove(record.router)


def _resize(record: AttachmentRecord) -> None:
    """Give the devices of a network the size of its record, as far as they exist."""
    with suppress(AttachmentFault), namespaces.routing_in(record.namespace) as (_, there), RoutingSocket() as here:
        for routing, name in ((here, record.outer), (there, record.inner)):
            if (link := routing.link(name)) is not None:
                routing.set_mtu(link.number, record.size)


def _state(record: AttachmentRecord, links: Mapping[str, Link]) -> tuple[object, ...]:
    try:
        found = record.namespace.stat()
        namespace = (found.st_dev, found.st_ino)
    except OSError:
        namespace = None
    devices = (_state_of(links.get(record.outer), record.size), _state_of(links.get(record.port), record.mtu))
    bridge = links[record.bridge].number if record.bridge in links else 0
    # Of a network of Docker that is missing, nothing but a new bridge is seen.
    others = frozenset(name for name in links if not name.startswith("veth")) if record.fault else None
    return (record.key, namespace, devices, bridge, _inside(record), others)


def _state_of(link: Link | None, size: int) -> tuple[object, ...] | None:
    """Return what of a device has to stay. Of its own size, only whether it is as wanted: that may change."""
    if link is None:
        return None
    return (link.number, link.mac, link.master, link.is_up, link.has_carrier, link.has_arp, link.mtu == size)


def _inside(record: AttachmentRecord) -> tuple[object, ...] | None:
    """Return the state of the device in the network, with its routes. None if it cannot be seen."""
    with suppress(AttachmentFault, OSError), namespaces.routing_in(record.namespace) as (_, there):
        if link := there.link(record.inner):
            return (_state_of(link, record.size), there.destinations(link.number))
    return None
