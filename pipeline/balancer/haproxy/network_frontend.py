"""A listener of a network load balancer as HAProxy's frontend, which accepts connections."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.data_plane import PlaneConfig
from pipeline.balancer.effective import EffectiveNetworkListener
from pipeline.balancer.haproxy import weights
from pipeline.balancer.haproxy.bind_lines import bind_lines
from pipeline.balancer.haproxy.directory import PemFile
from pipeline.balancer.haproxy.index import DEFAULT
from pipeline.balancer.haproxy.naming import THRESHOLDS, backend_name, fail_open_backend_of
from pipeline.balancer.haproxy.node_routing import NodeRouting
from pipeline.balancer.haproxy.tls import certificate_list, network_bind_args, pem_files
from pipeline.balancer.haproxy.tls_log import FORMAT

_RULES = "tcp-request content"


class NetworkFrontend:
    """A listener as a frontend, with the backend and files that only it uses."""

    def __init__(self, effective: EffectiveNetworkListener, config: PlaneConfig, *, dual_stack: bool) -> None:
        self._effective = effective
        self._dual_stack = dual_stack
        self._prefix = f"listener.{effective.number}"
        self._forward = effective.default_action.forward
        self._groups = {
            backend_name(owner, name): config.groups[backend_name(owner, name)].settings
            for owner, name in sorted(effective.groups())
        }
        self._nodes = NodeRouting(effective, self._prefix, self._groups)
        self._relay_backend = f"relay:{effective.number}"

    @property
    def relay_socket(self) -> str:
        """The socket by which replaced workers pass connections on."""
        return f"relay.{self._effective.number}.sock"

    @property
    def sockets(self) -> list[str]:
        """The sockets in HAProxy's directory that it listens on."""
        return [self.relay_socket]

    @property
    def _weights_file(self) -> str:
        return f"{self._prefix}.weights.map"

    def files(self) -> dict[str, str]:
        """Return the list of certificates and the maps of nodes: name → content."""
        return {**certificate_list(self._effective, self._prefix), **self._nodes.files()}

    def pem_files(self) -> list[PemFile]:
        """Return the copies of certificates."""
        return list(pem_files(self._effective))

    def weights(self) -> dict[str, dict[str, str]]:
        """Return the map of weights, which may change at run time. Empty if nothing is weighted."""
        if self._forward is None or not weights.is_weighted(self._forward):
            return {}
        return {self._weights_file: dict(weights.entries(DEFAULT, self._effective.owner, self._forward))}

    def lines(self) -> Iterator[str]:
        """Yield its sections."""
        idle = self._effective.listener.attributes.tcp_idle_timeout
        yield f"backend {self._relay_backend}"
        yield f"  timeout tunnel {idle}s"
        yield f"  server successor unix@{self.relay_socket} send-proxy-v2"
        yield ""
        yield f"frontend {self._effective.owner}.{self._effective.name}.{self._effective.port}"
        arguments = network_bind_args(self._effective, self._prefix)
        binds = bind_lines(self._effective, arguments, self.relay_socket, dual_stack=self._dual_stack)
        yield from (f"  {line}" for line in binds)
        yield f"  timeout client {idle}s"
        lines = (*self._log_lines(), *self._nodes.session_lines(), *self._steps())
        yield from (f"  {line}" for line in lines)
        yield ""

    def _log_lines(self) -> Iterator[str]:
        """Yield lines that log the connections of a TLS listener. As in ELB, others are not logged."""
        if self._effective.listener.secure:
            yield "log global"
            yield f'log-format "{FORMAT}"'
            yield f'error-log-format "{FORMAT}"'
            # The replaced worker that passes a connection on has decrypted it, and logs it.
            yield f"{_RULES} set-log-level silent if !{{ ssl_fc }}"

    def _steps(self) -> Iterator[str]:
        only = None if self.weights() or self._effective.balancer.zones else next(iter(self._groups))
        if self.weights():
            yield f"{_RULES} set-var(txn.rule) int({DEFAULT})"
            # As in the kernel: a client that stays with a target must also stay with its group.
            by_source = any(group.attributes.stickiness for group in self._groups.values())
            yield from weights.choose(self._weights_file, sticky=False, rules=_RULES, by_source=by_source)
        elif only is None:
            yield f"{_RULES} set-var(txn.backend) str({next(iter(self._groups))})"
        yield from self._nodes.lines(_RULES)
        needing_several = [
            backend
            for name, group in self._groups.items()
            if not group.attributes.needs_one_healthy
            for backend in self._nodes.backends(name)
        ]
        for number, backend in enumerate(needing_several):
            yield f"{_RULES} set-var(txn.least{number}) str({backend}),map_str_int({THRESHOLDS},0)"
        # A replaced worker may have accepted a connection whose TLS handshake ends only now. It gets no updates of
        # targets, so it passes the connection to its successor.
        yield f"use_backend {self._relay_backend} if {{ stopping -m bool }}"
        for number, backend in enumerate(needing_several):
            too_few = f"{{ nbsrv({backend}),sub(txn.least{number}) lt 0 }}"
            chosen = "" if only else f"{{ var(txn.backend) -m str {backend} }} "
            yield f"use_backend {fail_open_backend_of(backend)} if {chosen}{too_few}"
        yield f"default_backend {only}" if only else "use_backend %[var(txn.backend)]"
