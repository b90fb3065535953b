"""DNS queries for the names of load balancers, and the responses to them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from ipaddress import ip_address

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from pipeline.balancer.names.directory import DOMAIN, Directory, Entry
from pipeline.balancer.names.machine import address_towards
from pipeline.balancer.names.node import Address, nodes_for

TTL = 60
"""Seconds for which clients may keep an address, as in ELB."""
# Seconds for which they may keep that a name does not exist, so that a load balancer is found soon after its start.
_NEGATIVE_TTL = 5
# Bytes of a response over UDP that networks carry whole: recommended by the DNS flag day of 2020, and without EDNS.
_PAYLOAD, _SMALL_PAYLOAD = 1232, 512
_HEADER = 12
_ORIGIN = dns.name.from_text(DOMAIN)
# The names of RFC 6303 for a zone that only this server has: the domain itself, and an address that accepts no mail.
_SOA = f"{_ORIGIN} nobody.invalid. 1 3600 1200 604800 {_NEGATIVE_TTL}"
_ADDRESSES = {dns.rdatatype.A: (4,), dns.rdatatype.AAAA: (6,), dns.rdatatype.ANY: (4, 6)}


@dataclass(frozen=True)
class Query:
    """A DNS query. `message` is None if it cannot be parsed."""

    wire: bytes
    message: dns.message.Message | None

    @classmethod
    def from_wire(cls, wire: bytes) -> Query | None:
        """Return the query in some bytes, or None for bytes that must not be answered.

        A response is not answered, because two servers could go on for ever.
        """
        if len(wire) < _HEADER or wire[2] & 0x80:
            return None
        try:
            return cls(wire, dns.message.from_wire(wire))
        except dns.exception.DNSException:
            return cls(wire, None)

    @property
    def needs_names(self) -> bool:
        """True if the response depends on the names of load balancers."""
        return self.message is not None and _rcode(self.message) == dns.rcode.NOERROR

    def response(self, client: Address, directory: Directory | None, *, udp: bool, draw: random.Random) -> bytes:
        """Return the response to a client. `directory` is None if the names cannot be read or are not needed.

        Over UDP, a response that is too long for the client is truncated.
        """
        query = self.message
        if query is None:
            return _format_error(self.wire)
        response = dns.message.make_response(query, our_payload=_PAYLOAD)
        if not self.needs_names:
            response.set_rcode(_rcode(query))
        elif directory is None:
            response.set_rcode(dns.rcode.SERVFAIL)
        else:
            response.flags |= dns.flags.AA
            _fill(response, query, _client(query, response, client), directory, draw)
        payload = min(max(query.payload, _SMALL_PAYLOAD), _PAYLOAD) if udp else 65535
        return response.to_wire(max_size=payload, prefer_truncation=True)


def _format_error(wire: bytes) -> bytes:
    """Return the response to a query of which only the header can be read."""
    kept = wire[2] & 0x79  # the opcode, and whether recursion is desired
    return bytes([*wire[:2], 0x80 | kept, dns.rcode.FORMERR]) + bytes(8)


def _rcode(query: dns.message.Message) -> dns.rcode.Rcode:
    """Return the response code, NOERROR for a name of the domain whether or not it exists."""
    if query.edns > 0:
        return dns.rcode.BADVERS
    if query.opcode() != dns.opcode.QUERY:
        return dns.rcode.NOTIMP
    if len(query.question) != 1:
        return dns.rcode.FORMERR
    question = query.question[0]
    is_ours = question.rdclass == dns.rdataclass.IN and question.name.is_subdomain(_ORIGIN)
    # A transfer of the whole domain, or a type that is no type of data.
    if not is_ours or (dns.rdatatype.is_metatype(question.rdtype) and question.rdtype != dns.rdatatype.ANY):
        return dns.rcode.REFUSED
    return dns.rcode.NOERROR


def _client(query: dns.message.Message, response: dns.message.Message, sender: Address) -> Address:
    """Return the client's address. A resolver that asks for its client may name the client's network (RFC 7871)."""
    for option in query.options:
        if isinstance(option, dns.edns.ECSOption) and option.srclen:
            known = dns.edns.ECSOption(option.address, option.srclen, option.srclen)
            response.use_edns(0, 0, _PAYLOAD, query.payload, options=[known])
            return ip_address(option.address)
    return sender


def _fill(
    response: dns.message.Message,
    query: dns.message.Message,
    client: Address,
    directory: Directory,
    draw: random.Random,
) -> None:
    question = query.question[0]
    name = question.name.relativize(_ORIGIN).to_text().lower()
    entry = directory.entries.get(name)
    if entry is not None:
        for version in _ADDRESSES.get(question.rdtype, ()):
            if found := _rotated(_addresses(entry, version, client, draw), draw):
                type_ = "A" if version == 4 else "AAAA"
                response.answer.append(dns.rrset.from_text_list(question.name, TTL, "IN", type_, found))
    elif question.name == _ORIGIN:
        for type_, text in (("SOA", _SOA), ("NS", str(_ORIGIN))):
            if question.rdtype in (dns.rdatatype.from_text(type_), dns.rdatatype.ANY):
                response.answer.append(dns.rrset.from_text(question.name, TTL, "IN", type_, text))
    elif not directory.has_below(name):
        response.set_rcode(dns.rcode.NXDOMAIN)
    if not response.answer:
        response.authority.append(dns.rrset.from_text(_ORIGIN, _NEGATIVE_TTL, "IN", "SOA", _SOA))


def _addresses(entry: Entry, version: int, client: Address, draw: random.Random) -> list[str]:
    if version in entry.versions:
        found = address_towards(client, version)
        return [str(found)] if found else []
    nodes = nodes_for(entry.nodes, entry.policy, client, draw.random())
    return [str(node.address) for node in nodes if node.address.version == version]


def _rotated(addresses: list[str], draw: random.Random) -> list[str]:
    """Return the addresses from a random one on, because most clients use the first one.

    With a counter instead, a client that always asks for A and AAAA in turns would always get the same one first.
    """
    start = draw.randrange(len(addresses)) if addresses else 0
    return [*addresses[start:], *addresses[:start]]
