"""The ports of listeners, tried before anything is changed."""

from __future__ import annotations

import errno
import socket

from pipeline.balancer.effective import SharedListener, effective_listeners
from pipeline.balancer.registry import Registry
from pipeline.base.errors import ConfigError


def refuse_taken(before: Registry, wanted: Registry) -> None:
    """Raise `ConfigError` if another program listens where `wanted` is new, or if we may not."""
    known = [shared.binding for shared in effective_listeners(before)]
    for shared in effective_listeners(wanted):
        # The data plane has what overlaps, and lets go of it with the change.
        if not any(shared.binding.overlaps(binding) for binding in known):
            _try(shared)


def _try(shared: SharedListener) -> None:
    version = shared.balancer.address.version if shared.balancer.address else 4
    with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET) as probe:
        # As data planes do: connections of a previous listener that are still closing do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((shared.balancer.bind_address.strip("*[]"), shared.port))
        except OSError as error:
            raise _refusal(shared.port, shared.described, error) from error


def _refusal(port: int, declared_by: str, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} of {declared_by} is taken by another program",
            hint=f"find it with: ss -ltnp 'sport = :{port}', or give the listener another port",
        )
    if error.errno == errno.EACCES:
        return ConfigError(f"port {port} of {declared_by} needs root: it is below 1024", hint="use a port from 1024 on")
    return ConfigError(f"port {port} of {declared_by} cannot be used: {error.strerror}")
