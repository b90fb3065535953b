"""The answer to a DNS query, from the names of all load balancers."""

from __future__ import annotations

import random
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


def answer(
    wire: bytes, client: Address, directory: Directory | None, *, udp: bool, draw: random.Random
) -> bytes | None:
    """Return the response to a query, or None for bytes that must not be answered.

    `directory` is None if it cannot be read. Over UDP, a response that is too long for the client is truncated.
    """
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return _malformed(wire)
    if query.flags & dns.flags.QR:
        return None
    response = dns.message.make_response(query, our_payload=_PAYLOAD)
    response.set_rcode(_rcode(query, directory))
    if response.rcode() == dns.rcode.NOERROR and directory is not None:
        response.flags |= dns.flags.AA
        _fill(response, query, _client(query, response, client), directory, draw)
    payload = min(max(query.payload, _SMALL_PAYLOAD), _PAYLOAD) if udp else 65535
    return response.to_wire(max_size=payload, prefer_truncation=True)


def _malformed(wire: bytes) -> bytes | None:
    """Return a FORMERR for bytes with the header of a query. A response to a response could go on for ever."""
    if len(wire) < _HEADER or wire[2] & 0x80:
        return None
    kept = wire[2] & 0x79  # the opcode, and whether recursion is desired
    return bytes([*wire[:2], 0x80 | kept, dns.rcode.FORMERR]) + bytes(8)


def _rcode(query: dns.message.Message, directory: Directory | None) -> dns.rcode.Rcode:
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
    return dns.rcode.NOERROR if directory is not None else dns.rcode.SERVFAIL


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
