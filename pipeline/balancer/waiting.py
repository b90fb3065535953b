"""Listeners without a default action whose port no other listener has."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.balancer.resources import Resources


@dataclass(frozen=True)
class WaitingListener:
    """A listener that has no listener to add its rules to. They receive no requests."""

    owner: str
    name: str
    port: int

    def __str__(self) -> str:
        return (
            f"port {self.port} of load balancer {self.name} of {self.owner} receives no requests: its listener has no "
            "default_action, and no pipeline declares one for this port"
        )


def waiting_listeners(resources: Resources) -> tuple[WaitingListener, ...]:
    """Return the waiting listeners of all owners."""
    taken = {found.settings.port for found in resources.listeners.values() if found.settings.default_action}
    return tuple(
        WaitingListener(found.owner, resources.load_balancers[found.load_balancer].name, found.settings.port)
        for found in resources.listeners.values()
        if found.settings.default_action is None and found.settings.port not in taken
    )
