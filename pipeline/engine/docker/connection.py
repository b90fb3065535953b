"""Clients of the SDK, and a connection that one thread uses and another may close."""

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
    # For error messages.
    api.address = address  # type: ignore[attr-defined]
    # A local socket needs no proxy, and the lookup of one takes a quarter of each call.
    api.trust_env = not api.base_url.startswith("http+docker:")
    return api


class DockerConnection:
    """A connection for builds and pulls, which Docker aborts when their client disconnects. Use it as a block.

    Builds and pulls may be silent for a long time, so another thread may close it.
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
        """Abort the operations of this connection. Threads that read from it get an `EngineFault`.

        Safe from any thread, at any time, and to repeat.
        """
        with self._lock:
            self._closed, response = True, self._response
        if response is not None:
            _shut_down(response)
        self._api.close()

    def _keep_response(self, response: Any, *_: Any, **__: Any) -> None:
        """Store a response after its headers arrived, to close it while its body is read."""
        with self._lock:
            self._response, closed = response, self._closed
        if closed:
            _shut_down(response)


def _shut_down(response: Any) -> None:
    """Shut down a response that another thread may be reading. That thread gets an error and closes the response.

    Closing it here would wait for the thread, or close its file while it reads.
    """
    from docker.errors import DockerException
    from docker.types import CancellableStream

    try:
        CancellableStream(iter(()), response).close()
    except (OSError, AttributeError, DockerException):
        # It was read to its end, or it uses SSH, which has no socket to shut down.
        response.close()
