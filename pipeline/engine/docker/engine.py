"""The Docker Engine as one home sees it."""

from __future__ import annotations

from typing import Self

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.connection import EngineConnection, connect
from pipeline.engine.docker.containers import Containers
from pipeline.engine.docker.faults import translate_errors
from pipeline.engine.docker.images import Images
from pipeline.engine.docker.networks import Networks

# Containers are started and stopped sixteen at a time, and looked at meanwhile.
_CONNECTIONS = 24


class Engine:
    """The Docker Engine, as far as it is `home`'s. Safe to use from any thread. Raises `EngineFault`.

    The low-level client of the SDK: one call where its objects make one for each container.
    """

    def __init__(self, home: str) -> None:
        self._api = connect(pool=_CONNECTIONS)
        self.networks = Networks(self._api, home)
        self.containers = Containers(self._api, home, self.networks)
        self.images = Images(self._api, home)

    def connection(self) -> EngineConnection:
        """A connection of its own, for what has to be ended from another thread."""
        return EngineConnection(self._api.api_version)

    def answers(self) -> bool:
        """Whether it is there."""
        try:
            with translate_errors():
                return bool(self._api.ping())
        except EngineFault:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._api.close()
