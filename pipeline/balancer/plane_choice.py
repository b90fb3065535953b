"""Which data plane carries a listener of a network load balancer, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.balancer.effective import EffectiveNetworkListener
from pipeline.balancer.model import NetworkTargetGroup, TargetGroup
from pipeline.balancer.model.network.kernel_needs import kernel_obstacle, kernel_reason

Groups = Mapping[tuple[str, str], TargetGroup]
"""The settings of target groups, by owner and name."""


@dataclass(frozen=True)
class KernelSupport:
    """Whether this machine lets the kernel carry listeners. `fault` and `hint`: what it lacks, empty if nothing.

    `blocked`: what to do about rules of another program that drop what the kernel forwards. Empty if there are none.
    """

    fault: str = ""
    hint: str = ""
    blocked: str = ""


@dataclass(frozen=True)
class PlaneChoice:
    """The plane of a listener with the reason. `hint`: what would let the kernel carry it, or what it needs.

    `is_missing`: only the kernel could carry the listener, and this machine does not let it.
    """

    plane: Literal["kernel", "HAProxy"]
    reason: str
    hint: str = ""
    is_missing: bool = False

    def as_data(self) -> dict[str, str]:
        """Return the choice for JSON."""
        return {"plane": self.plane.lower(), "plane_reason": self.reason, "plane_hint": self.hint}

    def __str__(self) -> str:
        found = (
            "not carried" if self.is_missing else f"carried by {'the kernel' if self.plane == 'kernel' else self.plane}"
        )
        return f"{found}: {self.reason}"


def choose_plane(effective: EffectiveNetworkListener, groups: Groups, support: KernelSupport) -> PlaneChoice:
    """Return the plane that carries a listener. Its target groups fit it, as `effective_listeners` makes sure."""
    protocol, addresses = effective.listener.protocol, effective.balancer.bind_addresses
    used = [(name, groups[owner, name]) for owner, name in sorted(effective.groups())]
    network = [(name, group) for name, group in used if isinstance(group, NetworkTargetGroup)]
    for name, group in network:
        if obstacle := kernel_obstacle(protocol, addresses, group, name):
            return PlaneChoice("HAProxy", *obstacle)
    needed = next((reason for name, group in network if (reason := kernel_reason(protocol, group, name))), "")
    if support.fault:
        plane: Literal["kernel", "HAProxy"] = "kernel" if needed else "HAProxy"
        return PlaneChoice(plane, support.fault, support.hint, is_missing=bool(needed))
    if support.blocked and not needed:
        return PlaneChoice("HAProxy", "another program's rules drop what the kernel forwards", support.blocked)
    return PlaneChoice("kernel", needed or "the kernel is faster", support.blocked)
