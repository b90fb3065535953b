"""The access log of TLS listeners: HAProxy's line as ELB's entry."""

from __future__ import annotations

import pytest

from pipeline.balancer.access import AccessEntry, TlsEntry
from pipeline.balancer.haproxy.access_log import LogReader
from pipeline.balancer.telemetry.rendering import as_data, as_line
from tests.support.access_log import raw

_SERIAL = "3A2D0D3000511E8D"
_SERVED = (
    "tls 1795985348 345 2 324 192.0.2.7:35118 192.0.2.1:443 5 15 TLS_AES_128_GCM_SHA256 TLSv1.3 db.test h2 "
    f"{_SERIAL} 0 shop.edge.443 shop.db"
)
# A client that rejected the certificate.
_REJECTED = (
    f"tls 1795985348 770 18 18 192.0.2.7:35134 192.0.2.1:443 0 0 TLS_AES_128_GCM_SHA256 TLSv1.3 db.test - {_SERIAL} "
    "167773208 shop.edge.443 shop.edge.443"
)
_EMPTY = "tls 1795985349 789 0 0 192.0.2.7:35160 192.0.2.1:443 0 0 (NONE) TLSv1.3 - - - 0 shop.edge.443 shop.edge.443"


def line(fields: str) -> bytes:
    return fields.replace(" ", "\t").encode() + b"\n"


def entry(fields: str) -> TlsEntry:
    (record,) = LogReader().records([line(fields)])
    found = record.entry()
    assert isinstance(found, TlsEntry)
    return found


def test_a_connection_has_elbs_fields() -> None:
    """The line has the fields of a Network Load Balancer's access log, in their order."""
    assert as_line(entry(_SERVED)) == (
        "tls 2.0 2026-11-29T20:49:08 net/edge/shop 443 192.0.2.7:35118 192.0.2.1:443 324 2 5 15 - - 3A2D0D3000511E8D "
        "TLS_AES_128_GCM_SHA256 tlsv13 - db.test h2 - - 2026-11-29T20:49:08"
    )
    names = " ".join(as_data(entry(_SERVED)))
    assert names == (
        "type version time elb listener client:port destination:port connection_time tls_handshake_time received_bytes "
        "sent_bytes incoming_tls_alert chosen_cert_arn chosen_cert_serial tls_cipher tls_protocol_version "
        "tls_named_group domain_name alpn_fe_protocol alpn_be_protocol alpn_client_preference_list "
        "tls_connection_creation_time"
    )


def test_a_failed_handshake_has_the_alert() -> None:
    """A client that rejects the certificate is logged with its alert (48: unknown_ca), and without what was agreed."""
    found = entry(_REJECTED)
    assert found.incoming_tls_alert == 48
    assert (found.tls_handshake_time, found.tls_cipher, found.tls_protocol_version) == (None, None, None)
    assert entry(_REJECTED.replace("167773208", "167772316")).incoming_tls_alert is None


def test_a_connection_without_a_handshake_is_left_out() -> None:
    """A client that connects and leaves is no TLS connection."""
    reader = LogReader()
    assert list(reader.records([line(_EMPTY)])) == []
    assert reader.unreadable == 0


@pytest.mark.parametrize(
    "damaged", [_SERVED.replace("shop.edge.443", "shop"), _SERVED[:-9], f"{_SERVED} more", _SERVED.replace("345", "x")]
)
def test_a_damaged_line_is_counted(damaged: str) -> None:
    """A line with other fields is counted and skipped."""
    reader = LogReader()
    assert list(reader.records([line(damaged)])) == []
    assert reader.unreadable == 1


def test_both_kinds_are_in_one_log() -> None:
    """Requests and TLS connections keep their order."""
    found = [record.entry() for record in LogReader().records([raw(), line(_SERVED), raw()])]
    assert [type(one) for one in found] == [AccessEntry, TlsEntry, AccessEntry]


def test_a_name_cannot_end_a_field() -> None:
    """What a client sends as its server name is escaped."""
    (record,) = LogReader().records([line(_SERVED).replace(b"db.test", b'a b"\x1b')])
    assert r" a\x20b\x22\x1B h2 " in as_line(record.entry())
