"""The line that HAProxy writes for each request: what it knows, in its own terms. `access_log` reads it.

One field after the other, parted by tabs, which HAProxy writes as `#09` where they are part of a value. Nothing is
worked out on the path of a request that can be worked out when somebody reads the log.
"""

from __future__ import annotations

# Name → HAProxy's expression. Times are milliseconds, -1 where it did not come to that.
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
    "client": "%ci:%cp",
    "target": "%si:%sp",
    "status": "%ST",
    "target_status": "%[var(txn.status)]",
    "received_bytes": "%U",
    "sent_bytes": "%B",
    "method": "%HM",
    "uri": "%HU",
    "version": "%HV",
    "host": "%[capture.req.hdr(0)]",
    "user_agent": "%[capture.req.hdr(1)]",
    "upgrade": "%[capture.req.hdr(2)]",
    "content_type": "%[capture.req.hdr(3)]",
    "cipher": "%sslc",
    "tls_version": "%sslv",
    "server_name": "%[ssl_fc_sni]",
    "listener": "%f",
    "backend": "%b",
    "server": "%s",
    "trace": "%[var(txn.trace)]",
    "rule": "%[var(txn.rule)]",
    "termination": "%tsc",
    "retries": "%rc",
    "location": "%[capture.res.hdr(0)]",
    "classification": "%[var(txn.desync)]",
}

LOG_FORMAT = "\\t".join(FIELDS.values())

# What is captured for it, in the order of the slots above.
CAPTURES = (
    "capture request header Host len 256",
    "capture request header User-Agent len 256",
    "capture request header Upgrade len 16",
    "capture request header Content-Type len 64",
    "capture response header Location len 512",
)
