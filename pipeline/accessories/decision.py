"""The next action for an accessory, as a pure function of its record and the containers that the engine shows.

The record is written before the first container changes, and each action leads to a state from which the next one
follows. So a process that was killed needs no recovery of its own: the next process continues or goes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pipeline.accessories.record import Record, Version, WantedState
from pipeline.config.service import ServiceHealthCheck
from pipeline.engine.container import Container, ContainerHealth
from pipeline.engine.labels import LABEL_VERSION

_CREATED = "created"


class ActionType(StrEnum):
    """What to do next.

    `start` makes a container of `version`, `start_again` starts `container`, `stop` and `remove` end it. `commit` makes
    the next version the current one, and `fail` gives it up. `forget` deletes the record.
    `wait`: the container has yet to become healthy. `unhealthy`: it has not become healthy in time. `done`: as wanted.
    """

    START = "start"
    START_AGAIN = "start_again"
    STOP = "stop"
    REMOVE = "remove"
    COMMIT = "commit"
    FAIL = "fail"
    FORGET = "forget"
    WAIT = "wait"
    UNHEALTHY = "unhealthy"
    DONE = "done"


@dataclass(frozen=True)
class Action:
    """An action with its reason, and the container or the version that it is about."""

    type: ActionType
    reason: str = ""
    container: Container | None = None
    version: Version | None = None


def decide(record: Record, seen: Sequence[Container], *, expired: bool = False) -> Action:
    """Return the next action. `seen` are all containers of the accessory.

    `expired`: the container that should run was given enough time to become healthy.
    """
    if record.wanted is WantedState.REMOVED:
        return _emptied(seen) or Action(ActionType.FORGET)
    if record.next is not None:
        return _advance(record.next, seen, expired=expired)
    if record.current is None:
        return _emptied(seen) or Action(ActionType.FORGET)
    return _keep(record.wanted, record.current, seen, expired=expired)


def _advance(version: Version, seen: Sequence[Container], *, expired: bool) -> Action:
    """Start the next version once nothing else of the accessory runs, and decide what becomes of it."""
    new, others = _split(seen, version)
    if running := _running(others):
        return Action(ActionType.STOP, "another version takes its place", running)
    if new is None:
        return Action(ActionType.START, version=version)
    if new.state == _CREATED:
        # The process was killed between the creation and the start.
        return Action(ActionType.START_AGAIN, container=new)
    if not new.is_running:
        return Action(ActionType.FAIL, "it exited", new)
    health = health_of(new, version.settings.health_check)
    if health is ContainerHealth.HEALTHY:
        return Action(ActionType.COMMIT, container=new, version=version)
    if health is ContainerHealth.UNHEALTHY:
        return Action(ActionType.FAIL, "its health check fails", new)
    return Action(ActionType.FAIL, "it did not become healthy in time", new) if expired else Action(ActionType.WAIT)


def _keep(wanted: WantedState, version: Version, seen: Sequence[Container], *, expired: bool) -> Action:
    """Let the container of the current version, and no other, be in the wanted state."""
    current, others = _split(seen, version)
    if removal := _emptied(others):
        return removal
    if wanted is WantedState.STOPPED:
        is_running = current is not None and current.is_running
        return Action(ActionType.STOP, "a user has stopped it", current) if is_running else Action(ActionType.DONE)
    if current is None:
        return Action(ActionType.START, "its container was gone", version=version)
    if not current.is_running:
        return Action(ActionType.START_AGAIN, "its container did not run", current, version)
    if health_of(current, version.settings.health_check) is ContainerHealth.HEALTHY:
        return Action(ActionType.DONE, container=current)
    return Action(ActionType.UNHEALTHY if expired else ActionType.WAIT, "it is not healthy", current)


def _emptied(seen: Sequence[Container]) -> Action | None:
    """Return the action that stops or removes one of the containers, None if there is none left."""
    if running := _running(seen):
        return Action(ActionType.STOP, "it is not needed any more", running)
    return Action(ActionType.REMOVE, "it is not needed any more", seen[0]) if seen else None


def health_of(container: Container, check: ServiceHealthCheck) -> ContainerHealth:
    """Return the health of a container that runs: of its probe, else of the time for which it has run."""
    if container.state != "running":
        return ContainerHealth.STARTING
    if container.health is not None:
        return container.health
    # The engine counts seconds for the first minute.
    age = container.running_for
    is_old = age is None or timedelta(seconds=age) >= check.needed_uptime
    return ContainerHealth.HEALTHY if is_old else ContainerHealth.STARTING


def _split(seen: Sequence[Container], version: Version) -> tuple[Container | None, list[Container]]:
    """Return the container of a version, and the others."""
    own = next((each for each in seen if each.labels.get(LABEL_VERSION) == version.id), None)
    return own, [each for each in seen if each is not own]


def _running(seen: Sequence[Container]) -> Container | None:
    return next((each for each in seen if each.is_running), None)
