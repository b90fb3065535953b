"""Containers that the engine had to restart. The balancer may find them healthy between two crashes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.base.errors import PenstockError
from pipeline.base.home import Home

# In seconds. A command that only reads must not hang with the engine, and waits two seconds for the daemon's report.
_TIMEOUT = 1.0
_LOOKING: dict[tuple[str, str], threading.Thread] = {}


@dataclass(frozen=True)
class Restarts:
    """The restarts of one container since it was created, and the start of its last process."""

    container: str
    count: int
    last: datetime | None


def find_restarts(home: Home, pipeline: str) -> Sequence[Restarts]:
    """Return the containers of a pipeline that were restarted. Empty if the engine does not answer within a second."""
    found: list[Restarts] = []
    earlier = _LOOKING.get((home.id, pipeline))
    if earlier is not None and earlier.is_alive():
        # It hangs. Others would wait with it, each in a thread.
        return ()
    looking = _LOOKING[home.id, pipeline] = threading.Thread(
        target=_collect, args=(home, pipeline, found), name="restarts", daemon=True
    )
    looking.start()
    looking.join(_TIMEOUT)
    return tuple(found)


def _collect(home: Home, pipeline: str, found: list[Restarts]) -> None:
    from pipeline.engine.hosts import local_engine

    try:
        with local_engine(home.id) as engine:
            for listed in engine.containers.for_pipeline(pipeline):
                container = engine.containers.inspect(listed.id)
                if container.restarts:
                    found.append(Restarts(container.name, container.restarts, container.process_started_at))
    except PenstockError:
        # The engine is down, or a container has just been removed. What was found is shown.
        return
