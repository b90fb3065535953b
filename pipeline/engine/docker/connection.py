"""Clients of the SDK, and a connection that one thread waits on and another may end."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Self

from pipeline.engine.docker.faults import DEFAULT_ADDRESS, TIMEOUT, translate_errors
from pipeline.engine.docker.images import DockerImages


def connect(environment: Mapping[str, str], version: str = "auto", pool: int = 1) -> Any:
    """Return a client of the SDK that keeps at most `pool` connections. Raises `EngineFault`.

    `environment` names the engine as the environment of Docker's own command line does.
    """
    # The SDK takes 80 ms to import, and many commands need no Docker.
    from docker import APIClient
    from docker.utils import kwargs_from_env

    address = environment.get("DOCKER_HOST") or DEFAULT_ADDRESS
    with translate_errors(address):
        settings = kwargs_from_env(environment=dict(environment))
        api = APIClient(version=version, timeout=TIMEOUT, max_pool_size=pool, **settings)
    # Error messages name it.
    api.address = address  # type: ignore[attr-defined]
    # No proxy leads to a socket on this machine, and looking for one takes a quarter of each call.
    api.trust_env = not api.base_url.startswith("http+docker:")
    return api


class DockerConnection:
    """A connection for builds and pulls, which Docker ends when their client is gone. Either may be silent for long.

    Leaving its block closes it.
    """

    def __init__(self, environment: Mapping[str, str], version: str, home: str) -> None:
        self._api = connect(environment, version)
        self._api.hooks["response"].append(self._keep_response)
        self._lock = threading.Lock()
        self._response: Any = None
        self._closed = False
        self.images = DockerImages(self._api, home)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what Docker does for this connection. Threads that read from it get an `EngineFault`.

        Safe from any thread, at any time, and to repeat.
        """
        with self._lock:
            self._closed, response = True, self._response
        if response is not None:
            _shut_down(response)
        self._api.close()

    def _keep_response(self, response: Any, *_: Any, **__: Any) -> None:
        """Keep a response whose head has arrived. Its body comes as the engine works."""
        with self._lock:
            self._response, closed = response, self._closed
        if closed:
            _shut_down(response)


def _shut_down(response: Any) -> None:
    """End a response that another thread may be reading. That thread gets an error and closes the response.

    Closing it here would wait for the thread, or take its file away while it reads.
    """
    from docker.errors import DockerException
    from docker.types import CancellableStream

    try:
        CancellableStream(iter(()), response).close()
    except (OSError, AttributeError, DockerException):
        # It was read to its end meanwhile, or it comes over SSH, which has no socket to shut down.
        response.close()
