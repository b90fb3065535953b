"""The monitor of a data plane with an agent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from pipeline.balancer.agent.agent_exit import AgentExit
from pipeline.balancer.agent.lost_file import has_lost_file
from pipeline.balancer.agent.requests import AgentClient
from pipeline.balancer.agent.wanted_file import Wanted, WantedFile
from pipeline.balancer.companion import Companion
from pipeline.balancer.plane_monitor import PlaneMonitor

# Seconds. An agent that is only busy is asked again by the reconciliation that follows, which waits longer.
_TIMEOUT = 0.5
_T = TypeVar("_T", bound=Wanted)


class MonitorWithAgent(ABC, Generic[_T]):
    """The base of a `PlaneMonitor` that watches an agent beside the `inner` plane's own monitor."""

    def __init__(self, inner: PlaneMonitor, agent: Companion, client: AgentClient, file: WantedFile[_T]) -> None:
        self._inner = inner
        self._agent = agent
        self._client = client
        self._file = file
        self._exit = AgentExit(agent)

    @abstractmethod
    def _is_carrying(self, wanted: _T) -> bool:
        """Return whether the agent is to carry something."""

    def open(self) -> bool:
        return self._inner.open()

    def close(self) -> None:
        self._exit.close()
        self._inner.close()

    def fileno(self) -> int:
        return self._inner.fileno()

    def owners(self) -> set[str]:
        return self._inner.owners()

    def exits(self) -> tuple[int, ...]:
        own = self._exit.descriptor()
        return (*self._inner.exits(), *(() if own is None else (own,)))

    def is_responding(self) -> bool:
        if has_lost_file(self._agent, self._file):
            return False
        if self._is_carrying(self._file.read()) and not self._client.responds(_TIMEOUT):
            return False
        return self._inner.is_responding()
