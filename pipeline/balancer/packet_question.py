"""A packet that is not sent: its protocol, its addresses and its ports, as a user writes them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from pipeline.balancer.data_plane import PacketEnds
from pipeline.balancer.gateway.flow_key import ICMP, ICMPV6, TCP, UDP, FlowFields, FlowKey
from pipeline.base.errors import ConfigError

_PROTOCOLS = {"tcp": TCP, "udp": UDP, "icmp": ICMP}
_EXAMPLE = "tcp://198.18.1.10:443, udp://198.18.1.10:53 or icmp://198.18.1.10"


@dataclass(frozen=True)
class PacketQuestion:
    """A packet of `scheme` tcp, udp or icmp. A port is None if it is not given."""

    scheme: str
    source: IPv4Address | IPv6Address
    source_port: int | None
    target: IPv4Address | IPv6Address
    target_port: int | None

    @classmethod
    def parse(cls, url: str, source: str) -> PacketQuestion:
        """Parse an URL such as `tcp://198.18.1.10:443` and a source such as `198.18.0.5:40000`.

        Raises `ConfigError` for what is no packet: a name in place of an address, or addresses of both families.
        """
        scheme, _, place = url.rpartition("://")
        scheme = scheme or "tcp"
        if scheme not in _PROTOCOLS:
            raise ConfigError(f"{url or 'an empty text'} is not a packet", hint=_EXAMPLE)
        target, target_port = _endpoint(place, url)
        found, source_port = _endpoint(source, f"source {source}")
        if found.version != target.version:
            raise ConfigError(f"source {found} and {target} are of two families", hint="give addresses of one family")
        if scheme == "icmp" and (source_port or target_port):
            raise ConfigError(f"{url}: a packet of ICMP has no port", hint=f"icmp://{target}, and a source without one")
        return cls(scheme, found, source_port, target, target_port)

    @property
    def protocol(self) -> int:
        """The number of its protocol in the header of IP."""
        return ICMPV6 if self.scheme == "icmp" and self.target.version == 6 else _PROTOCOLS[self.scheme]

    @property
    def ends(self) -> PacketEnds:
        """Its ends, as a data plane knows them."""
        ports = (self.source_port or 0, self.target_port or 0)
        return PacketEnds(str(self.source), str(self.target), self.protocol, *ports)

    def key(self, fields: FlowFields) -> FlowKey:
        """Return the key of its flow, of which both directions are the same.

        Raises `ConfigError` if the fields of the flow need a port that is not given.
        """
        needs_ports = fields == 5 and self.scheme != "icmp"
        if needs_ports and self.target_port is None:
            raise ConfigError(f"{self.scheme}://{self.target} has no port, and a flow has five fields", hint=_EXAMPLE)
        if needs_ports and self.source_port is None:
            raise ConfigError(
                f"source {self.source} has no port, and a flow has five fields", hint=f"--source {self.source}:40000"
            )
        ports = (self.source_port or 0, self.target_port or 0)
        return FlowKey.of(self.source, self.target, self.protocol, ports).reduced(fields)

    def __str__(self) -> str:
        return (
            f"{self.scheme.upper()} {_place(self.source, self.source_port)} → {_place(self.target, self.target_port)}"
        )


def _endpoint(text: str, what: str) -> tuple[IPv4Address | IPv6Address, int | None]:
    try:
        return ip_address(text.strip("[]")), None
    except ValueError:
        pass
    try:
        split = urlsplit(f"//{text}")
        if split.hostname and not split.path and split.port != 0:
            return ip_address(split.hostname), split.port
    except ValueError:
        pass
    raise ConfigError(f"{what}: must be an IP address, with or without a port", hint=_EXAMPLE)


def _place(address: IPv4Address | IPv6Address, port: int | None) -> str:
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
