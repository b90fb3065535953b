"""A listener as HAProxy's frontend."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.data_plane import PlaneConfig
from pipeline.balancer.effective import EffectiveListener
from pipeline.balancer.haproxy.actions import Actions
from pipeline.balancer.haproxy.desync import desync_lines
from pipeline.balancer.haproxy.directory import PemFile
from pipeline.balancer.haproxy.error_responses import frontend_denials
from pipeline.balancer.haproxy.headers import request_headers, response_headers
from pipeline.balancer.haproxy.log_format import CAPTURES, LOG_FORMAT
from pipeline.balancer.haproxy.rules import RuleMatching
from pipeline.balancer.haproxy.tls import (
    bind_args,
    certificate_list,
    pem_files,
    relay_mark,
    tls_headers,
)
from pipeline.balancer.haproxy.worker_user import socket_args


class Frontend:
    """A listener as a frontend, with the backends and files that only it uses."""

    def __init__(self, effective: EffectiveListener, config: PlaneConfig, *, idle_varies: bool) -> None:
        self._effective = effective
        self._idle_varies = idle_varies
        self._prefix = prefix = f"listener.{effective.number}"
        self._actions = Actions(effective, prefix, config)
        self._rules = RuleMatching([owned.rule for owned in effective.rules], prefix)
        self._relay = f"relay.{effective.number}"
        # A target group's backend has no colon in its name, so this is unique.
        self._relay_backend = f"relay:{effective.number}"

    def files(self) -> dict[str, str]:
        """Return maps, keys and the list of certificates: name → content."""
        return {
            **self._rules.files(),
            **self._actions.files(),
            **certificate_list(self._effective, self._prefix),
        }

    def pem_files(self) -> list[PemFile]:
        """Return the copies of certificates and trust stores."""
        return list(pem_files(self._effective))

    def weights(self) -> dict[str, dict[str, str]]:
        """Return the maps whose values may change at run time."""
        return self._actions.weights()

    def lines(self) -> Iterator[str]:
        """Yield its sections."""
        attributes = self._effective.balancer.attributes
        idle = attributes.idle_timeout
        yield f"backend {self._relay_backend}"
        yield f"  timeout server {idle}s"
        yield f"  server successor unix@{self._relay}.sock send-proxy-v2 proxy-v2-options unique-id"
        yield ""
        yield from self._actions.backends()
        yield f"frontend {self._effective.owner}.{self._effective.name}.{self._effective.port}"
        yield f"  bind {self._effective.address}{bind_args(self._effective, self._prefix)}"
        yield f"  bind unix@{self._relay}.sock accept-proxy {socket_args()}"
        # A replaced worker passes its successor the client's address and the names of headers that it has cleaned.
        yield f"  unique-id-format {relay_mark(self._effective)}"
        yield f"  timeout client {idle}s"
        yield f"  timeout http-request {idle}s"
        yield "  log global"
        yield from (f"  {capture}" for capture in CAPTURES)
        yield f'  log-format "{LOG_FORMAT}"'
        yield f"  tcp-request connection set-var(sess.until) date({attributes.client_keep_alive})"
        yield "  http-response set-var(txn.status) status"
        yield from (f"  {line}" for line in self._steps(idle))
        yield ""

    def _steps(self, idle: int) -> Iterator[str]:
        yield from desync_lines(self._effective.balancer.attributes.desync_mitigation_mode)
        # A replaced worker keeps its idle connections but gets no updates of targets. It passes a request on such a
        # connection to its successor.
        yield "acl replaced stopping -m bool"
        # Retry a non-idempotent request only if it carries an Idempotency-Key or was never sent.
        yield "acl keyed req.hdr(idempotency-key) -m found"
        yield "http-request disable-l7-retry if !{ method GET HEAD OPTIONS PUT DELETE } !keyed"
        # HAProxy can retry only a request that it has buffered, so wait for the body.
        yield f"http-request wait-for-body time {idle}s if {{ method PUT DELETE }} or keyed"
        # The successor does not see the TLS connection of a passed-on request, so its headers are set here.
        yield from tls_headers(self._effective)
        yield "http-request allow if replaced"
        if self._idle_varies:
            yield f"http-request set-var(txn.idle) int({idle * 1000})"
        yield from frontend_denials()
        if not self._actions.only:
            yield from self._rules.lines()
        yield from self._actions.lines()
        yield from request_headers(self._effective)
        yield from response_headers(self._effective)
        yield f"use_backend {self._relay_backend} if replaced"
        yield from self._actions.routes()
