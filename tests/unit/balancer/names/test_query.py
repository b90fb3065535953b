"""The answers to DNS queries, byte for byte as a client reads them."""

from __future__ import annotations

import random
from collections import Counter
from ipaddress import ip_address

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.balancer.names.directory import Directory
from pipeline.balancer.names.node import Address
from pipeline.balancer.names.query import Query
from tests.support.zoned import ZONES, application, declared, network

MIXED = {"zone-a": {"address": "127.0.1.1"}, "zone-c": {"address": "2001:db8::c"}}
MANY = {f"zone-{n}": {"address": f"127.1.0.{n + 1}"} for n in range(100)}
AFFINITY = {"dns_record.client_routing_policy": "availability_zone_affinity"}
DIRECTORY = Directory.from_registry(
    declared(
        shop={
            "edge": application(zones=ZONES),
            "mixed": application(8001, zones=MIXED),
            "many": application(8002, zones=MANY),
            "any": application(9000),
            "near": network(zones=ZONES, attributes=AFFINITY),
        }
    ),
    lambda *_: True,
)
CLIENT = ip_address("127.0.0.1")
# What the SOA record of the domain begins with.
SOA = "elb.internal. nobody.invalid. "


def answer(
    wire: bytes, client: Address, directory: Directory | None, *, udp: bool, draw: random.Random
) -> bytes | None:
    query = Query.from_wire(wire)
    if query is None:
        return None
    # Whoever asks for another domain must not cost a look at the names.
    known = directory if query.needs_names else None
    return query.response(client, known, udp=udp, draw=draw)


def respond(
    wire: bytes, *, client: str = "127.0.0.1", udp: bool = True, directory: Directory | None = DIRECTORY
) -> dns.message.Message:
    response = answer(wire, ip_address(client), directory, udp=udp, draw=random.Random(1))
    assert response is not None
    return dns.message.from_wire(response)


def ask(name: str, kind: str = "A", **more: object) -> dns.message.Message:
    return respond(dns.message.make_query(name, kind).to_wire(), **more)  # type: ignore[arg-type]


def texts(message: dns.message.Message) -> set[str]:
    """Return the type, TTL and data of each record in the answer."""
    return {f"{dns.rdatatype.to_text(rr.rdtype)} {rr.ttl} {data}" for rr in message.answer for data in rr}


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("edge.shop.elb.internal", "A", {"A 60 127.0.1.1", "A 60 127.0.2.1"}),
        ("edge.elb.internal", "A", {"A 60 127.0.1.1", "A 60 127.0.2.1"}),
        ("zone-b.edge.shop.elb.internal", "A", {"A 60 127.0.2.1"}),
        ("mixed.elb.internal", "A", {"A 60 127.0.1.1"}),
        ("mixed.elb.internal", "AAAA", {"AAAA 60 2001:db8::c"}),
        ("mixed.elb.internal", "ANY", {"A 60 127.0.1.1", "AAAA 60 2001:db8::c"}),
        ("elb.internal", "NS", {"NS 60 elb.internal."}),
        ("elb.internal", "SOA", {f"SOA 60 {SOA}1 3600 1200 604800 5"}),
    ],
)
def test_records(name: str, kind: str, expected: set[str]) -> None:
    """Each name has the addresses of its nodes for 60 s, and the domain has what RFC 6303 wants."""
    response = ask(name, kind)
    assert response.rcode() == dns.rcode.NOERROR
    assert response.flags & dns.flags.AA
    assert texts(response) == expected


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("edge.elb.internal", "AAAA", dns.rcode.NOERROR),
        ("edge.elb.internal", "TXT", dns.rcode.NOERROR),
        ("shop.elb.internal", "A", dns.rcode.NOERROR),
        ("elb.internal", "A", dns.rcode.NOERROR),
        ("gone.elb.internal", "A", dns.rcode.NXDOMAIN),
        ("edge.blog.elb.internal", "A", dns.rcode.NXDOMAIN),
        ("x.zone-a.edge.shop.elb.internal", "A", dns.rcode.NXDOMAIN),
        (r"edge\.shop.elb.internal", "A", dns.rcode.NXDOMAIN),
    ],
)
def test_absence_has_a_short_life(name: str, kind: str, rcode: dns.rcode.Rcode) -> None:
    """A name without such records, and a name that does not exist, come with the SOA record and are kept for 5 s."""
    response = ask(name, kind)
    assert (response.rcode(), response.answer) == (rcode, [])
    (soa,) = response.authority
    assert (soa.to_text().split()[1], soa[0].minimum) == ("5", 5)
    assert str(soa.name) == "elb.internal."


@pytest.mark.parametrize("name", ["example.com", "internal", "notelb.internal", "."])
def test_other_domains_are_refused(name: str) -> None:
    """A name outside the domain is refused, without a record."""
    response = ask(name)
    assert response.rcode() == dns.rcode.REFUSED
    assert not response.answer + response.authority
    assert not response.flags & (dns.flags.AA | dns.flags.RA)


@pytest.mark.parametrize("kind", ["AXFR", "IXFR", "MAILB"])
def test_transfers_are_refused(kind: str) -> None:
    """The domain is not transferred."""
    assert ask("elb.internal", kind, udp=False).rcode() == dns.rcode.REFUSED


def test_other_classes_are_refused() -> None:
    """Only the class of the Internet is answered."""
    query = dns.message.make_query("edge.elb.internal", "A", rdclass="CH")
    assert respond(query.to_wire()).rcode() == dns.rcode.REFUSED


def test_other_operations_are_not_implemented() -> None:
    """Only queries are answered: no update, no notification."""
    for opcode in (dns.opcode.UPDATE, dns.opcode.NOTIFY, dns.opcode.STATUS):
        query = dns.message.make_query("elb.internal", "SOA")
        query.set_opcode(opcode)
        assert respond(query.to_wire()).rcode() == dns.rcode.NOTIMP


def test_case_is_kept() -> None:
    """Case does not count, and the response has the name as it was asked for."""
    response = ask("EdGe.SHOP.elb.INTERNAL")
    assert len(texts(response)) == 2
    assert str(response.question[0].name) == str(response.answer[0].name) == "EdGe.SHOP.elb.INTERNAL."


def test_each_address_comes_first() -> None:
    """Each node is first in its share of the responses, and each response has all of them."""
    draw, first = random.Random(7), Counter[str]()
    query = dns.message.make_query("edge.elb.internal", "A").to_wire()
    for _ in range(1000):
        wire = answer(query, CLIENT, DIRECTORY, udp=True, draw=draw)
        (records,) = dns.message.from_wire(wire or b"", one_rr_per_rrset=False).answer
        assert len(records) == 2
        first[records[0].address] += 1
    assert all(450 < count < 550 for count in first.values())


def test_any_address_is_the_one_towards_the_client() -> None:
    """A load balancer without an address of its own has one of this machine, never the unspecified one."""
    ((data,),) = ask("any.elb.internal").answer
    assert not ip_address(data.address).is_unspecified


# Sizes


@pytest.mark.parametrize(("payload", "limit"), [(None, 512), (100, 512), (600, 600), (1232, 1232), (4096, 1232)])
def test_long_responses_over_udp_are_truncated(payload: int | None, limit: int) -> None:
    """Over UDP a response has at most the client's size, and 1,232 bytes. Over TCP it is whole."""
    query = dns.message.make_query("many.elb.internal", "A", use_edns=payload is not None, payload=payload or 0)
    wire = answer(query.to_wire(), CLIENT, DIRECTORY, udp=True, draw=random.Random(1)) or b""
    assert len(wire) <= limit
    assert dns.message.from_wire(wire).flags & dns.flags.TC
    whole = respond(query.to_wire(), udp=False)
    assert not whole.flags & dns.flags.TC
    assert len(texts(whole)) == 100


def test_edns() -> None:
    """A client with EDNS gets EDNS, one without it does not, and an unknown version is refused."""
    assert ask("edge.elb.internal").edns == -1
    query = dns.message.make_query("edge.elb.internal", "A", use_edns=0, payload=4096)
    assert (respond(query.to_wire()).edns, respond(query.to_wire()).payload) == (0, 1232)
    query.use_edns(1)
    response = respond(query.to_wire())
    assert (response.rcode(), response.edns, response.answer) == (dns.rcode.BADVERS, 0, [])


# Clients


@pytest.mark.parametrize(
    ("client", "subnet", "expected"),
    [
        ("10.1.0.9", None, {"A 60 127.0.1.1"}),
        ("10.2.0.9", None, {"A 60 127.0.2.1"}),
        ("10.3.0.9", None, {"A 60 127.0.1.1", "A 60 127.0.2.1"}),
        ("127.0.0.1", ("10.2.3.0", 24), {"A 60 127.0.2.1"}),
        ("10.1.0.9", ("0.0.0.0", 0), {"A 60 127.0.1.1"}),
    ],
)
def test_affinity(client: str, subnet: tuple[str, int] | None, expected: set[str]) -> None:
    """The client's zone is that of its own address, or of the network that its resolver names, which is confirmed."""
    options = [dns.edns.ECSOption(*subnet)] if subnet else []
    response = respond(dns.message.make_query("near.elb.internal", "A", options=options).to_wire(), client=client)
    assert texts(response) == expected
    confirmed = [(each.address, each.srclen, each.scopelen) for each in response.options]  # type: ignore[attr-defined]
    assert confirmed == ([(*subnet, subnet[1])] if subnet and subnet[1] else [])


def test_unknown_names() -> None:
    """As long as the names cannot be read, the client is told to ask another server."""
    response = ask("edge.elb.internal", directory=None)
    assert (response.rcode(), response.answer) == (dns.rcode.SERVFAIL, [])


# Broken bytes


def test_a_malformed_query_is_answered_as_such() -> None:
    """A query that cannot be parsed gets FORMERR with its own id. So does one without a question, or with two."""
    query = dns.message.make_query("edge.elb.internal", "A", id=4711)
    assert (respond(query.to_wire()[:-3]).rcode(), respond(query.to_wire()[:-3]).id) == (dns.rcode.FORMERR, 4711)
    assert respond(query.to_wire() + b"x").rcode() == dns.rcode.FORMERR
    query.question = query.question * 2
    assert respond(query.to_wire()).rcode() == dns.rcode.FORMERR
    query.question = []
    assert respond(query.to_wire()).rcode() == dns.rcode.FORMERR


def test_a_response_is_not_answered() -> None:
    """Two servers never answer each other for ever, whatever one of them sends."""
    query = dns.message.make_query("edge.elb.internal", "A")
    response = dns.message.make_response(query).to_wire()
    for wire in (response, response[:-3], b"", b"x" * 11):
        assert answer(wire, CLIENT, DIRECTORY, udp=True, draw=random.Random()) is None


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda tail: b"\x00\x07\x01\x00\x00\x01\x00\x00" + tail))
def test_any_bytes(wire: bytes) -> None:
    """Whatever arrives, the response is none or a DNS message with the same id."""
    response = answer(wire, CLIENT, DIRECTORY, udp=True, draw=random.Random(1))
    if response is not None:
        assert response[:2] == wire[:2]
        assert response[2] & 0x80
        dns.message.from_wire(response)
