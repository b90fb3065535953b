"""The Docker Engine as one home sees it."""

from __future__ import annotations

from typing import Self

from pipeline.engine.containers import Containers
from pipeline.engine.faults import TIMEOUT, readable_errors
from pipeline.engine.images import Images
from pipeline.engine.networks import Networks

# Containers are started and stopped sixteen at a time, and looked at meanwhile.
_CONNECTIONS = 24


class Engine:
    """The Docker Engine, as far as it is `home`'s. Safe to use from any thread. Raises `EngineFault`.

    The low-level client of the SDK: one call where its objects make one for each container.
    """

    def __init__(self, home: str) -> None:
        # 80 ms that commands which need no Docker need not pay.
        from docker import APIClient
        from docker.utils import kwargs_from_env

        with readable_errors():
            self._api = APIClient(version="auto", timeout=TIMEOUT, max_pool_size=_CONNECTIONS, **kwargs_from_env())
        self.containers = Containers(self._api, home)
        self.images = Images(self._api, home)
        self.networks = Networks(self._api, home)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()
