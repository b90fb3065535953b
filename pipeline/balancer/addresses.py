"""The ports of listeners, tried before anything is changed."""

from __future__ import annotations

import errno
import socket

from pipeline.balancer.effective import EffectiveListener, effective_listeners
from pipeline.balancer.registry import Registry
from pipeline.base.errors import ConfigError


def check_ports_free(before: Registry, wanted: Registry) -> None:
    """Raise `ConfigError` if another program listens where `wanted` is new, or if we may not."""
    known = [effective.binding for effective in effective_listeners(before)]
    for effective in effective_listeners(wanted):
        # The data plane has what overlaps, and lets go of it with the change.
        if not any(effective.binding.overlaps(binding) for binding in known):
            _try_bind(effective)


def _try_bind(effective: EffectiveListener) -> None:
    version = effective.balancer.address.version if effective.balancer.address else 4
    with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET) as probe:
        # As data planes do: connections of a previous listener that are still closing do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((effective.balancer.bind_address.strip("*[]"), effective.port))
        except OSError as error:
            raise _bind_error(effective.port, effective.label, error) from error


def _bind_error(port: int, declared_by: str, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} of {declared_by} is taken by another program",
            hint=f"find it with: ss -ltnp 'sport = :{port}', or give the listener another port",
        )
    if error.errno == errno.EACCES:
        return ConfigError(f"port {port} of {declared_by} needs root: it is below 1024", hint="use a port from 1024 on")
    return ConfigError(f"port {port} of {declared_by} cannot be used: {error.strerror}")
