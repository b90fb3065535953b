"""The format of the line that HAProxy writes for each request. `log_line` parses it.

Fields are separated by tabs. A value from a client is cut at its first tab, so no header can hide a request. Values
that can be computed when the log is read are left out, to save work for each request.
"""

from __future__ import annotations


def _until_tab(expression: str) -> str:
    return f"%[{expression},field(1,\\\\t)]"


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
    "method": "%HM",
    "uri": "%HU",
    "version": "%HV",
    "host": _until_tab("capture.req.hdr(0)"),
    "user_agent": _until_tab("capture.req.hdr(1)"),
    "upgrade": _until_tab("capture.req.hdr(2)"),
    "content_type": _until_tab("capture.req.hdr(3)"),
    "cipher": "%sslc",
    "tls_version": "%sslv",
    "server_name": _until_tab("ssl_fc_sni"),
    "listener": "%f",
    "backend": "%b",
    "server": "%s",
    "trace": _until_tab("var(txn.trace)"),
    "rule": "%[var(txn.rule)]",
    "termination": "%tsc",
    "retries": "%rc",
    "location": _until_tab("var(txn.location)"),
    "classification": "%[var(txn.desync)]",
}

LOG_FORMAT = "\\t".join(FIELDS.values())

# Captures for the log, in the order of the slots above.
CAPTURES = (
    "capture request header Host len 256",
    "capture request header User-Agent len 256",
    "capture request header Upgrade len 16",
    "capture request header Content-Type len 64",
    "http-after-response set-var(txn.location) res.hdr(location) if { status 300:399 }",
)
