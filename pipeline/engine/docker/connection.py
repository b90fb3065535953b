"""A connection to the engine that one thread waits on and another may end."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any, Self

from pipeline.engine.docker.faults import TIMEOUT, translate_errors


def connect(version: str = "auto", pool: int = 1) -> Any:
    """A client of the SDK that keeps at most `pool` connections. Raises `EngineFault`."""
    # 80 ms that commands which need no Docker need not pay.
    from docker import APIClient
    from docker.utils import kwargs_from_env

    with translate_errors():
        api = APIClient(version=version, timeout=TIMEOUT, max_pool_size=pool, **kwargs_from_env())
    # A socket on this machine is behind no proxy; to look for one at each call takes a quarter of the call.
    api.trust_env = not api.base_url.startswith("http+docker:")
    return api


class EngineConnection:
    """For what the engine does only as long as its client is there: builds and pulls, which may be silent for long.

    Leaving its block closes it.
    """

    def __init__(self, version: str) -> None:
        self.api = connect(version)
        self.api.hooks["response"].append(self._answered)
        self._lock = threading.Lock()
        self._answer: Any = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what the engine does for it, and what anybody reads of that: they get an `EngineFault`.

        From any thread, at any time, and more than once.
        """
        with self._lock:
            self._closed, answer = True, self._answer
        if answer is not None:
            _shut_down(answer)
        self.api.close()

    def _answered(self, response: Any, *_: Any, **__: Any) -> None:
        """An answer begins: its head is there, its body comes as the engine works."""
        with self._lock:
            self._answer, closed = response, self._closed
        if closed:
            _shut_down(response)


def _shut_down(response: Any) -> None:
    """End the socket first: closing the response waits for whoever reads from it in another thread."""
    from docker.errors import DockerException
    from docker.types import CancellableStream

    # It may have been read to its end meanwhile; and over SSH, where there is no socket, the SDK refuses.
    with suppress(OSError, AttributeError, DockerException):
        CancellableStream(iter(()), response).close()
    response.close()
