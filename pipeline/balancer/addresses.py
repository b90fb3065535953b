"""A check of the listeners' ports before anything is changed."""

from __future__ import annotations

import errno
import socket

from pipeline.balancer.binding import Binding
from pipeline.balancer.challenges import own_ports
from pipeline.balancer.effective import EffectiveListener, effective_listeners, has_both_families
from pipeline.balancer.registry import Registry
from pipeline.base.errors import ConfigError
from pipeline.base.sockets import has_ipv6

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def check_ports_free(before: Registry, wanted: Registry) -> None:
    """Raise `ConfigError` if a new listener of `wanted` cannot bind: another program has the port, or it needs root."""
    known, listeners = effective_listeners(before), effective_listeners(wanted)
    bindings = [*(effective.binding for effective in known), *map(_own_binding, own_ports(known))]
    for effective in listeners:
        # The data plane holds overlapping ports itself and releases them with the change.
        if not any(effective.binding.overlaps(binding) for binding in bindings):
            for transport in sorted(effective.binding.transports):
                for address in effective.balancer.bind_addresses:
                    _try_bind(effective, address.strip("*[]"), _KINDS[transport], only_ipv6=False)
                if has_both_families(effective, listeners) and has_ipv6():
                    _try_bind(effective, "::", _KINDS[transport], only_ipv6=True)
    for port in own_ports(listeners):
        if not any(_own_binding(port).overlaps(binding) for binding in bindings):
            _try_own_port(port)


def _own_binding(port: int) -> Binding:
    """Return the binding of a port that has no listener and answers authorities."""
    return Binding(("*",), port)


def _try_own_port(port: int) -> None:
    for address in ("", *(["::"] if has_ipv6() else [])):
        try:
            _bind(address, port, socket.SOCK_STREAM, only_ipv6=bool(address))
        except OSError as error:
            raise ConfigError(
                f"port {port}, at which certificates are proved by HTTP, cannot be used: {error.strerror}",
                hint="set http_port in acme to another port, to which port 80 is forwarded, or use dns",
            ) from error


def _try_bind(effective: EffectiveListener, address: str, kind: socket.SocketKind, *, only_ipv6: bool) -> None:
    try:
        _bind(address, effective.port, kind, only_ipv6=only_ipv6)
    except OSError as error:
        raise _bind_error(effective, address, kind, error) from error


def _bind(address: str, port: int, kind: socket.SocketKind, *, only_ipv6: bool) -> None:
    """Bind an address for an instant. Raises `OSError`."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            # As data planes do, so closing connections of a previous listener do not block the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if only_ipv6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((address, port))


def _bind_error(effective: EffectiveListener, address: str, kind: socket.SocketKind, error: OSError) -> ConfigError:
    port, declared_by = effective.port, effective.label
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(
            f"address {address} of {declared_by} is not an address of this machine",
            hint="use another, or add it with `ip address add`",
        )
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} of {declared_by} is taken by another program",
            hint=f"find it with `ss -l{'t' if kind == socket.SOCK_STREAM else 'u'}np 'sport = :{port}'`",
        )
    if error.errno == errno.EACCES:
        return ConfigError(
            f"port {port} of {declared_by} needs root, because it is below 1024", hint="use a port of at least 1024"
        )
    return ConfigError(f"port {port} of {declared_by} cannot be used: {error.strerror}")
