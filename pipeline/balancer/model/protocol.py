"""ELB's protocols: which target groups a listener may forward to, and on which transport a listener is."""

from __future__ import annotations

GENEVE = "GENEVE"
"""The protocol between a gateway load balancer and its appliances."""
NEEDS_GATEWAY = f"{GENEVE} needs a load balancer of type: gateway, whose listener has neither protocol nor port"
# Protocol of a listener → protocols of the target groups that it may forward to.
_FITTING = {
    "HTTP": ("HTTP", "HTTPS"),
    "HTTPS": ("HTTP", "HTTPS"),
    "TCP": ("TCP",),
    "TLS": ("TCP", "TLS"),
    "UDP": ("UDP",),
    "TCP_UDP": ("TCP_UDP",),
    GENEVE: (GENEVE,),
}
_TCP, _UDP = frozenset({"tcp"}), frozenset({"udp"})
_TRANSPORTS = {"UDP": _UDP, "TCP_UDP": _TCP | _UDP, GENEVE: frozenset[str]()}


def transports(protocol: str | None) -> frozenset[str]:
    """Return the transports on which a listener of this protocol accepts traffic. Ports of two are not the same.

    That of a gateway load balancer has no port, and so none.
    """
    return _TRANSPORTS.get(protocol or "", _TCP)


def forward_mistake(listener: object, group: object, name: str) -> tuple[str, str] | None:
    """Return why a listener cannot forward to the target group `name`, and what to write instead, or None if it can.

    `listener` and `group` are their protocols. None is that of an application load balancer. An unknown protocol has
    no mistake.
    """
    speaks = "HTTP" if listener is None else listener
    if not (isinstance(speaks, str) and isinstance(group, str)):
        return None
    fitting = _FITTING.get(speaks)
    if fitting is None or group not in _FITTING or group in fitting:
        return None
    if speaks == GENEVE:
        reason = f"a gateway load balancer cannot forward to target group {name}, which has protocol {group}"
        return reason, f"set protocol: {GENEVE} on the target group"
    reason = f"a listener of protocol {speaks} cannot forward to target group {name}, which has protocol {group}"
    return reason, f"set protocol: {' or '.join(fitting)} on the target group"
