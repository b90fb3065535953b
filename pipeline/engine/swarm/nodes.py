"""The nodes of a Swarm: whether they take replicas."""

from __future__ import annotations

from pipeline.engine.swarm.swarm import Availability, Swarm, SwarmNode


def find_node(swarm: Swarm, name: str) -> SwarmNode | None:
    """Return the node of a host name, the one that is ready if several have had it, or None."""
    found = [node for node in swarm.nodes() if node.name == name]
    return next((node for node in found if node.is_ready), found[0] if found else None)


def close_node(swarm: Swarm, name: str) -> Availability | None:
    """Let a node take no more tasks. Return its availability then, or None if there is no such node.

    It is drained if nothing runs there any more. Otherwise the Swarm would stop what is left, of this home or of other
    programs, before it is started elsewhere: then it is paused.
    """
    node = find_node(swarm, name)
    if node is None:
        return None
    is_busy = any(not task.state.has_ended for task in swarm.tasks_on(node.id))
    availability = Availability.PAUSE if is_busy else Availability.DRAIN
    swarm.set_availability(node.id, availability)
    return availability


def open_node(swarm: Swarm, name: str) -> None:
    """Let a node take tasks again. Does nothing if there is no such node."""
    if (node := find_node(swarm, name)) is not None:
        swarm.set_availability(node.id, Availability.ACTIVE)


def takes_tasks(node: SwarmNode) -> bool:
    """Return whether the Swarm starts tasks on a node."""
    return node.is_ready and node.availability is Availability.ACTIVE
