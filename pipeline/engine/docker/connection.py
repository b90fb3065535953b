"""Clients of the SDK, and a connection that one thread uses and another may close."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.endpoint import configuration_folder, find_endpoint
from pipeline.engine.docker.faults import TIMEOUT, translate_errors
from pipeline.engine.docker.images import DockerImages
from pipeline.engine.docker.server import recently, remember_server


def connect(environment: Mapping[str, str], version: str | None = None, pool: int = 1, timeout: float = TIMEOUT) -> Any:
    """Return a client of the SDK that keeps at most `pool` connections. Raises `EngineFault`.

    The engine may take `timeout` seconds for a response.

    `environment` names the engine as the environment of Docker's own command line does. `version` is that of the API.
    By default the engine is asked for it, unless it was asked within the last minute.
    """
    # The SDK takes 80 ms to import, and many commands need no Docker.
    from pipeline.engine.docker.client import DockerClient

    endpoint = find_endpoint(environment)
    options = {"timeout": timeout, "max_pool_size": pool, **endpoint.client_options()}
    with translate_errors(endpoint.address), _invalid_configuration(environment):
        version = version or recently(endpoint.address, "version", lambda: _api_version(endpoint.address, options))
        api: Any = DockerClient(version=version, **options)
    # For error messages.
    api.address = endpoint.address
    # A local socket needs no proxy, and the lookup of one takes a quarter of each call.
    api.trust_env = not api.base_url.startswith("http+docker:")
    return api


def _api_version(address: str, options: Mapping[str, Any]) -> str:
    """Ask an engine for the version of its API, and keep the rest of its answer for `server_of`."""
    from docker.constants import DEFAULT_DOCKER_API_VERSION

    from pipeline.engine.docker.client import DockerClient

    # With a version, the client does not ask for one by itself.
    client: Any = DockerClient(version=DEFAULT_DOCKER_API_VERSION, **options)
    try:
        server = client.version(api_version=False)
    finally:
        client.close()
    if not server.get("ApiVersion"):
        raise EngineFault(f"Docker at {address} does not name the version of its API")
    remember_server(address, server)
    return str(server["ApiVersion"])


@contextmanager
def _invalid_configuration(environment: Mapping[str, str]) -> Iterator[None]:
    """Raise `EngineFault` if the SDK cannot read Docker's configuration."""
    from docker.errors import InvalidConfigFile

    try:
        yield
    except (InvalidConfigFile, ValueError, TypeError, AttributeError) as error:
        path = configuration_folder(environment) / "config.json"
        raise EngineFault(f"Docker's configuration {path} is invalid: {error}") from error


class DockerConnection:
    """A connection for builds and pulls, which Docker aborts when their client disconnects. Use it as a block.

    Builds and pulls may be silent for a long time, so another thread may close it.
    """

    def __init__(self, environment: Mapping[str, str], version: str, home: str, timeout: float = TIMEOUT) -> None:
        self.api = connect(environment, version, timeout=timeout)
        self.api.hooks["response"].append(self._keep_response)
        self._lock = threading.Lock()
        self._response: Any = None
        self._closed = False
        self.images = DockerImages(self.api, home)

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
        self.api.close()

    def release(self) -> None:
        """Close the last response. Only for the thread that reads it, when it has read enough."""
        with self._lock:
            response, self._response = self._response, None
        if response is not None:
            response.close()

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
