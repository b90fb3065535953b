"""The format of the line that HAProxy writes for each request. `log_line` parses it.

Fields are separated by tabs. A value from a client is cut at its first tab, so no header can hide a request. Values
that can be computed when the log is read are left out, to save work for each request.
"""

from __future__ import annotations

from pipeline.balancer.haproxy.quoting import until_tab

# Name → HAProxy's expression. Times are milliseconds, -1 if that step was not reached.
FIELDS = {
    "accepted_seconds": "%Ts",
    "accepted_milliseconds": "%ms",
    "handshake": "%Th",
    "idle": "%Ti",
    "request": "%TR",
    "queue": "%Tw",
    "connect": "%Tc",
    "response": "%Tr",
    "transfer": "%Td",
    "total": "%Ta",
    "client": "%ci:%cp",
    "target": "%si:%sp",
    "status": "%ST",
    "target_status": "%[var(txn.status)]",
    "received_bytes": "%U",
    "sent_bytes": "%B",
    "request_line": "%r",
    "request_headers": "%hr",
    "cipher": "%sslc",
    "tls_version": "%sslv",
    "server_name": until_tab("ssl_fc_sni"),
    "listener": "%f",
    "backend": "%b",
    "server": "%s",
    "trace": until_tab("var(txn.trace)"),
    "rule": "%[var(txn.rule)]",
    "termination": "%tsc",
    "retries": "%rc",
    "location": until_tab("var(txn.location)"),
    "classification": "%[var(txn.desync)]",
}
REQUEST_LINE = ("method", "uri", "version")
"""The parts of `request_line`."""
REQUEST_HEADERS = ("host", "user_agent", "upgrade", "content_type")
"""The parts of `request_headers`, in the order of the captures."""
_OF_TLS = ("cipher", "tls_version", "server_name")


# fmt: off
FORMER_FIELDS = (
    "accepted_seconds", "accepted_milliseconds", "handshake", "idle", "request", "queue", "connect", "response",
    "transfer", "total", "client", "target", "status", "target_status", "received_bytes", "sent_bytes", "method",
    "uri", "version", "host", "user_agent", "upgrade", "content_type", "cipher", "tls_version", "server_name",
    "listener", "backend", "server", "trace", "rule", "termination", "retries", "location", "classification",
)
# fmt: on
"""The fields of version 0.1.0, which had the parts of the request line and the headers apart."""


def log_format(*, secure: bool, has_rules: bool) -> str:
    """Return the `log-format` of a listener. What it does not have is constant, so it costs a request nothing."""
    missing = {*(() if secure else _OF_TLS), *(() if has_rules else ("rule",))}
    return "\\t".join("-" if name in missing else expression for name, expression in FIELDS.items())


# Captures for the log, in the order of `REQUEST_HEADERS`.
CAPTURES = (
    "capture request header Host len 256",
    "capture request header User-Agent len 256",
    "capture request header Upgrade len 16",
    "capture request header Content-Type len 64",
    "http-after-response set-var(txn.location) res.hdr(location) if { status 300:399 }",
)
