"""The line that HAProxy writes for each connection of a TLS listener, and its record.

A connection whose handshake failed has the same fields, because `error-log-format` has this format too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from pipeline.balancer.access import TlsEntry, TlsRecord, load_balancer_name
from pipeline.balancer.haproxy.log_line import datetime_from_milliseconds
from pipeline.balancer.haproxy.quoting import until_tab

# Name → HAProxy's expression. Times are milliseconds, -1 if that step was not reached.
_FIELDS = {
    "type": "tls",
    "accepted_seconds": "%Ts",
    "accepted_milliseconds": "%ms",
    "handshake": "%Th",
    "total": "%Tt",
    "client": "%ci:%cp",
    "destination": "%fi:%fp",
    "received_bytes": "%U",
    "sent_bytes": "%B",
    "cipher": "%sslc",
    "tls_version": "%sslv",
    "server_name": until_tab("ssl_fc_sni"),
    "alpn": "%[ssl_fc_alpn]",
    "serial": "%[ssl_f_serial,hex]",
    "error": "%[ssl_fc_err]",
    "listener": "%f",
    "backend": "%b",
}
FORMAT = "\\t".join(_FIELDS.values())
_MARK = b"tls\t"
_FRONTEND = re.compile(r"[^.]+\.[^.]+\.\d+")
# OpenSSL's codes: the library in the upper bits, and the reason, which is 1000 and the alert for an alert of the peer.
_LIBRARY_SHIFT, _SSL_LIBRARY = 23, 20
_FIRST_ALERT, _LAST_ALERT = 1000, 1255


def is_tls_line(raw: bytes) -> bool:
    """Return whether a line is of a connection."""
    return raw.startswith(_MARK)


def tls_record(raw: bytes) -> TlsRecord | None:
    """Return the record of a line, or None if no handshake began. Raises `ValueError` for a damaged line."""
    fields = dict(zip(_FIELDS, raw.decode(errors="replace").rstrip("\n").split("\t"), strict=True))
    if not _FRONTEND.fullmatch(fields["listener"]):
        raise ValueError("the fields are not in their places")
    if fields["serial"] == "-":
        # No certificate was chosen, because no handshake began.
        return None
    owner, name, port = fields["listener"].split(".")
    created = int(fields["accepted_seconds"]) * 1000 + int(fields["accepted_milliseconds"])
    ended = datetime_from_milliseconds(created + int(fields["total"]))
    entry = partial(_entry, fields, load_balancer_name(owner, name, "net"), port, created)
    return TlsRecord(ended=ended, entry=entry)


def _entry(fields: Mapping[str, str], load_balancer: str, port: str, created: int) -> TlsEntry:
    # Until the handshake is complete, no backend is chosen.
    is_complete = fields["backend"] != fields["listener"]
    return TlsEntry(
        time=datetime_from_milliseconds(created + int(fields["total"])),
        elb=load_balancer,
        listener=port,
        client=fields["client"],
        destination=fields["destination"],
        connection_time=int(fields["total"]),
        tls_handshake_time=int(fields["handshake"]) if is_complete else None,
        received_bytes=int(fields["received_bytes"]),
        sent_bytes=int(fields["sent_bytes"]),
        incoming_tls_alert=_alert(int(fields["error"])),
        chosen_cert_serial=fields["serial"],
        tls_cipher=fields["cipher"] if is_complete else None,
        tls_protocol_version=fields["tls_version"].lower().replace(".", "") if is_complete else None,
        domain_name=_text(fields["server_name"]),
        alpn_fe_protocol=_text(fields["alpn"]),
        tls_connection_creation_time=datetime_from_milliseconds(created),
    )


def _alert(error: int) -> int | None:
    """Return the alert that the client sent, by its number in TLS."""
    reason = error & ((1 << _LIBRARY_SHIFT) - 1)
    is_alert = error >> _LIBRARY_SHIFT == _SSL_LIBRARY and _FIRST_ALERT <= reason <= _LAST_ALERT
    return reason - _FIRST_ALERT if is_alert else None


def _text(value: str) -> str | None:
    return None if value in ("", "-") else value
