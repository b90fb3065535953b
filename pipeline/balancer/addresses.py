"""A check of the listeners' ports before anything is changed."""

from __future__ import annotations

import errno
import socket

from pipeline.balancer.effective import EffectiveListener, effective_listeners
from pipeline.balancer.registry import Registry
from pipeline.base.errors import ConfigError


def check_ports_free(before: Registry, wanted: Registry) -> None:
    """Raise `ConfigError` if a new listener of `wanted` cannot bind: another program has the port, or it needs root."""
    known = [effective.binding for effective in effective_listeners(before)]
    for effective in effective_listeners(wanted):
        # The data plane holds overlapping ports itself and releases them with the change.
        if not any(effective.binding.overlaps(binding) for binding in known):
            _try_bind(effective)


def _try_bind(effective: EffectiveListener) -> None:
    version = effective.balancer.address.version if effective.balancer.address else 4
    with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET) as probe:
        # As data planes do, so closing connections of a previous listener do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((effective.balancer.bind_address.strip("*[]"), effective.port))
        except OSError as error:
            raise _bind_error(effective.port, effective.label, error) from error


def _bind_error(port: int, declared_by: str, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} of {declared_by} is taken by another program",
            hint=f"find it with `ss -ltnp 'sport = :{port}'`",
        )
    if error.errno == errno.EACCES:
        return ConfigError(
            f"port {port} of {declared_by} needs root, because it is below 1024", hint="use a port of at least 1024"
        )
    return ConfigError(f"port {port} of {declared_by} cannot be used: {error.strerror}")
