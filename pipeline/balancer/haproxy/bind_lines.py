"""The sockets of a listener, as lines of HAProxy's frontend."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.balancer.effective import EffectiveListener
from pipeline.balancer.haproxy.worker_user import socket_args


def bind_lines(effective: EffectiveListener, arguments: str, relay_socket: str, *, dual_stack: bool) -> Iterator[str]:
    """Yield lines for the listener's addresses, and for the socket by which replaced workers pass on what they accept.

    `arguments`: those of an address, such as TLS. `dual_stack`: it accepts IPv6 too.
    """
    for address in effective.balancer.bind_addresses:
        yield f"bind {address}:{effective.port}{arguments}"
    if dual_stack:
        # A separate socket, so the one for IPv4 stays open when this one is added or removed.
        yield f"bind [::]:{effective.port} v6only{arguments}"
    yield f"bind unix@{relay_socket} accept-proxy {socket_args()}"
