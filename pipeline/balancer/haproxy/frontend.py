"""A listener as HAProxy's frontend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.balancer.data_plane import PlaneConfig
from pipeline.balancer.effective import EffectiveApplicationListener
from pipeline.balancer.haproxy.actions import Actions
from pipeline.balancer.haproxy.bind_lines import bind_lines
from pipeline.balancer.haproxy.desync import desync_lines
from pipeline.balancer.haproxy.directory import PemFile
from pipeline.balancer.haproxy.entries import entry_sockets
from pipeline.balancer.haproxy.error_responses import deny, frontend_denials
from pipeline.balancer.haproxy.headers import request_headers, response_headers, session_lines
from pipeline.balancer.haproxy.log_format import CAPTURES, log_format
from pipeline.balancer.haproxy.repetition import repetition_lines
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
    """A listener as a frontend, with the backends and files that only it uses.

    `idle_varies`: not all listeners have the same idle timeout. `dual_stack`: it listens on IPv6 too. `first_lines`:
    those before its rules.
    """

    def __init__(
        self,
        effective: EffectiveApplicationListener,
        config: PlaneConfig,
        *,
        idle_varies: bool,
        dual_stack: bool,
        first_lines: Sequence[str] = (),
    ) -> None:
        self._effective = effective
        self._first_lines = first_lines
        self._dual_stack = dual_stack
        self._idle_varies = idle_varies
        self._prefix = prefix = f"listener.{effective.number}"
        self._actions = Actions(effective, prefix, config)
        self._rules = RuleMatching([owned.rule for owned in effective.rules], prefix)
        self._relay = f"relay.{effective.number}"
        # A target group's backend has no colon in its name, so this is unique.
        self._relay_backend = f"relay:{effective.number}"
        self._entries = entry_sockets(effective, config)

    @property
    def relay_socket(self) -> str:
        """The socket by which replaced workers pass requests on."""
        return f"{self._relay}.sock"

    @property
    def sockets(self) -> list[str]:
        """The sockets in HAProxy's directory that it listens on."""
        return [self.relay_socket, *self._entries]

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
        # The successor has retried already.
        yield "  retry-on conn-failure"
        yield f"  server successor unix@{self.relay_socket} send-proxy-v2 proxy-v2-options unique-id"
        yield ""
        yield from self._actions.backends()
        yield f"frontend {self._effective.owner}.{self._effective.name}.{self._effective.port}"
        arguments = bind_args(self._effective, self._prefix)
        binds = bind_lines(self._effective, arguments, self.relay_socket, dual_stack=self._dual_stack)
        yield from (f"  {line}" for line in binds)
        for entry in self._entries:
            # A network load balancer passes connections with the addresses of clients. A check of it has none.
            yield f"  bind unix@{entry} accept-proxy {socket_args()}{arguments}"
            yield "  tcp-request session set-src ipv4(127.0.0.1) if !{ src -m found }"
        # A replaced worker passes its successor the client's address and the names of headers that it has cleaned.
        yield f"  unique-id-format {relay_mark(self._effective)}"
        yield f"  timeout client {idle}s"
        yield f"  timeout http-request {idle}s"
        yield "  log global"
        yield from (f"  {capture}" for capture in CAPTURES)
        logged = log_format(secure=self._effective.listener.secure, has_rules=not self._actions.only)
        yield f'  log-format "{logged}"'
        yield f"  tcp-request connection set-var(sess.until) date({attributes.client_keep_alive})"
        yield from (f"  {line}" for line in (*self._actions.nodes.session_lines(), *session_lines()))
        yield "  http-response set-var(txn.status) status"
        yield from (f"  {line}" for line in self._steps(idle))
        yield ""

    def _steps(self, idle: int) -> Iterator[str]:
        yield from desync_lines(self._effective.balancer.attributes.desync_mitigation_mode)
        # A replaced worker keeps its idle connections but gets no updates of targets. It passes a request on such a
        # connection to its successor.
        yield "acl replaced stopping -m bool"
        yield from repetition_lines()
        # The successor does not see the TLS connection of a passed-on request, so its headers are set here.
        yield from tls_headers(self._effective)
        yield "http-request allow if replaced"
        if self._idle_varies:
            yield f"http-request set-var(txn.idle) int({idle * 1000})"
        yield from frontend_denials()
        yield from _request_target_lines()
        yield from self._first_lines
        if not self._actions.only:
            yield from self._rules.lines()
        yield from self._actions.lines()
        yield from request_headers(self._effective)
        yield from response_headers(self._effective)
        yield f"use_backend {self._relay_backend} if replaced"
        yield from self._actions.routes()


def _request_target_lines() -> Iterator[str]:
    """Yield lines that send targets a path, as a proxy must, also if an HTTP/1 client sent a whole URL (RFC 9112).

    A request for neither a path nor a URL is denied: rules would not see what a target may take for a path.
    """
    yield "acl http1 fc_http_major 1"
    yield "acl has_path url -m beg /"
    yield "acl has_url url -m reg -i ^https?://[^/]"
    # First the condition that decides for nearly all requests.
    target, url = "if !has_path http1 !has_url", "if !has_path http1 has_url"
    yield f"http-request set-header Host %[url,field(3,/),regsub(^.*@,)] {url} !{{ req.fhdr(host) -m found }}"
    yield f"{deny(400)} {target} !{{ method OPTIONS }}"
    yield f"{deny(400)} {target} !{{ url -m str * }}"
    yield f"http-request set-uri %[pathq] {url} {{ path -m beg / }}"
    # For the whole server, which OPTIONS alone can mean.
    yield f"http-request set-uri * {url}"
