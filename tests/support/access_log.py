"""Lines of the access log as HAProxy writes them."""

from __future__ import annotations

from pipeline.balancer.access import AccessRecord
from pipeline.balancer.haproxy.access_log import LogReader
from pipeline.balancer.haproxy.log_format import FIELDS

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


def raw(changes: dict[str, str] | None = None, **more: str) -> bytes:
    """Return a line of a served request with these fields changed."""
    fields = {**SERVED, **(changes or {}), **more}
    return "\t".join(fields.get(name, "-") for name in FIELDS).encode() + b"\n"


def record(changes: dict[str, str] | None = None, **more: str) -> AccessRecord:
    """Return the record of a line with these fields changed."""
    (found,) = LogReader().records([raw(changes, **more)])
    return found
