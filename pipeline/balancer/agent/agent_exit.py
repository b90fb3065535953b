"""Notice of the exit of an agent."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from pipeline.balancer.companion import Companion

# Seconds after an exit in which the next one is not reported, so an agent that fails at once does not keep us busy.
_PAUSE = 1.0


class AgentExit:
    """A descriptor for the process of an agent. For one thread. `now`: seconds of a clock that only goes on."""

    def __init__(self, agent: Companion, now: Callable[[], float] = time.monotonic) -> None:
        self._agent = agent
        self._now = now
        self._descriptor: int | None = None
        self._exited = -_PAUSE

    def descriptor(self) -> int | None:
        """Return what is readable as soon as the agent has exited. None while there is nothing to wait for.

        Of one process, an exit is reported until the next call.
        """
        if self._descriptor is not None and _is_readable(self._descriptor):
            self.close()
            self._exited = self._now()
        if self._descriptor is None and self._now() - self._exited >= _PAUSE:
            self._descriptor = self._opened()
        return self._descriptor

    def close(self) -> None:
        """Release the descriptor."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int | None:
        try:
            return os.pidfd_open(pid) if (pid := self._agent.started()) else None
        except OSError:
            # It has just exited. The next reconciliation starts another one.
            return None


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
