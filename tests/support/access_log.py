"""Lines of the access log as HAProxy writes them."""

from __future__ import annotations

from pathlib import Path

from pipeline.balancer.access import AccessRecord, ForwardedRequest
from pipeline.balancer.haproxy.access_log import LogReader
from pipeline.balancer.haproxy.forwarded_request import ForwardedReader
from pipeline.balancer.haproxy.log_format import FIELDS, FORMER_FIELDS, REQUEST_HEADERS, REQUEST_LINE

# The fields that HAProxy wrote for `GET /a?b`.
SERVED = {
    "accepted_seconds": "1795522239",
    "accepted_milliseconds": "576",
    "handshake": "4",
    "idle": "20",
    "request": "1",
    "queue": "2",
    "connect": "3",
    "response": "40",
    "transfer": "500",
    "total": "546",
    "client": "192.0.2.7:33822",
    "target": "10.1.0.3:8080",
    "status": "200",
    "target_status": "200",
    "received_bytes": "48",
    "sent_bytes": "51",
    "method": "GET",
    "uri": "/a?b",
    "version": "HTTP/1.1",
    "host": "Shop.example.com",
    "user_agent": "curl/8.5",
    "upgrade": "-",
    "content_type": "-",
    "cipher": "-",
    "tls_version": "-",
    "server_name": "-",
    "listener": "shop.edge.8080",
    "backend": "shop.web",
    "server": "web-1",
    "trace": "Root=1-6b057ebf-dd40be089abab24852895211",
    "rule": "10",
    "termination": "----",
    "retries": "0",
    "location": "-",
    "classification": "-",
}
# Requests that HAProxy sent to no target.
NO_TARGET = {"target": "-:-", "server": "<NOSRV>", "target_status": "-", "queue": "-1", "connect": "-1"}
NO_ANSWER = {"target_status": "-", "response": "-1", "transfer": "-1"}
OWN = {**NO_TARGET, **NO_ANSWER, "termination": "LR--"}
REFUSED = {**OWN, "request": "-1", "method": "<BADREQ>", "uri": "<BADREQ>", "version": "<BADREQ>", "rule": "-"}
REFUSED |= {"backend": "shop.edge.8080", "host": "-", "user_agent": "-"}
TLS = {"cipher": "TLS_AES_128_GCM_SHA256", "tls_version": "TLSv1.3"}


def written(log: Path) -> bytes:
    """Return the complete lines of a log. HAProxy may be about to write the rest of the last one."""
    return b"".join(line for line in log.read_bytes().splitlines(keepends=True) if line.endswith(b"\n"))


def raw(changes: dict[str, str] | None = None, **more: str) -> bytes:
    """Return a line of a served request with these fields changed."""
    return line(raw_fields({**(changes or {}), **more}))


def raw_fields(changes: dict[str, str] | None = None) -> dict[str, str]:
    """Return the fields of a served request, with these changed."""
    fields = {**SERVED, **(changes or {})}
    request = [fields[name] for name in REQUEST_LINE]
    headers = ["" if fields[name] == "-" else _encoded(fields[name]) for name in REQUEST_HEADERS]
    fields["request_line"] = request[0] if request[0] == "<BADREQ>" else " ".join(request)
    fields["request_headers"] = "{" + "|".join(headers) + "}"
    return fields


def line(fields: dict[str, str]) -> bytes:
    """Return the line of these fields."""
    return "\t".join(fields.get(name, "-") for name in FIELDS).encode() + b"\n"


def former(changes: dict[str, str] | None = None, **more: str) -> bytes:
    """Return the line as version 0.1.0 wrote it."""
    fields = {**SERVED, **(changes or {}), **more}
    return "\t".join(fields.get(name, "-") for name in FORMER_FIELDS).encode() + b"\n"


def _encoded(value: str) -> str:
    """Encode a header as HAProxy does."""
    return "".join(
        chr(byte) if b" "[0] <= byte <= b"~"[0] and byte not in b'"#{|}' else f"#{byte:02X}" for byte in value.encode()
    )


def record(changes: dict[str, str] | None = None, **more: str) -> AccessRecord:
    """Return the record of a line with these fields changed."""
    (found,) = LogReader().records([raw(changes, **more)])
    assert isinstance(found, AccessRecord)
    return found


def request(changes: dict[str, str] | None = None, **more: str) -> ForwardedRequest:
    """Return the forwarded request of a line with these fields changed."""
    line = raw(changes, **more)
    (found,) = ForwardedReader().requests([line], ["shop.web", "other.web"])
    return found
