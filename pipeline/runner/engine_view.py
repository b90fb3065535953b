"""The containers of a pipeline as the engine shows them: what the balancer cannot know of them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.base.errors import PenstockError
from pipeline.base.home import Home
from pipeline.engine.container import Container
from pipeline.engine.labels import DEFAULT_SERVICE, LABEL_SERVICE, ROLE_ACCESSORY

TIMEOUT = 1.0
"""Seconds for the engine. A command that only reads must not hang with it, and waits two for the daemon's report."""
_LOOKING: dict[tuple[str, str], threading.Thread] = {}


@dataclass(frozen=True)
class Restarts:
    """The restarts of one container since it was created, and the start of its last process."""

    container: str
    count: int
    last: datetime | None


@dataclass
class EngineView:
    """The containers of a pipeline, and those that the engine had to restart.

    The balancer may find a container healthy between two crashes, and does not know those without a target group.
    `accessories` is None if the engine did not list them.
    """

    containers: list[Container] = field(default_factory=list)
    accessories: Sequence[Container] | None = None
    restarts: list[Restarts] = field(default_factory=list)

    @classmethod
    def of(cls, home: Home, pipeline: str) -> EngineView:
        """Look at a pipeline's containers. Empty if the engine does not answer within a second."""
        found = cls()
        earlier = _LOOKING.get((home.id, pipeline))
        if earlier is not None and earlier.is_alive():
            # It hangs. Others would wait with it, each in a thread.
            return found
        looking = _LOOKING[home.id, pipeline] = threading.Thread(
            target=found.collect, args=(home, pipeline), name="engine view", daemon=True
        )
        looking.start()
        looking.join(TIMEOUT)
        return cls(list(found.containers), found.accessories, list(found.restarts))

    def collect(self, home: Home, pipeline: str) -> None:
        """Fill the view, for as long as the engine takes."""
        from pipeline.engine.hosts import local_engine

        try:
            with local_engine(home.id) as engine:
                self.containers += engine.containers.for_pipeline(pipeline)
                self.accessories = engine.containers.for_pipeline(pipeline, ROLE_ACCESSORY)
                for listed in self.containers:
                    container = engine.containers.inspect(listed.id)
                    if container.restarts:
                        self.restarts.append(Restarts(container.name, container.restarts, container.process_started_at))
        except PenstockError:
            # The engine is down, or a container has just been removed. What was found is shown.
            return

    def without_targets(self, targets: Collection[str]) -> Sequence[Container]:
        """Return the containers of services that have none of these targets, by name."""
        service_of = {each.name: each.labels.get(LABEL_SERVICE, DEFAULT_SERVICE) for each in self.containers}
        registered = {service for name, service in service_of.items() if name in targets}
        return sorted(
            (each for each in self.containers if service_of[each.name] not in registered), key=lambda each: each.name
        )
