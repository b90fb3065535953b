"""Checks of whether a test service is ready."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from pipeline.config.steps import TestService
from pipeline.engine.interfaces import Engine
from pipeline.engine.task import Task

# The limits of one check, in seconds over the network and as a duration for a command.
_ANSWER = 2
_COMMAND = timedelta(seconds=10)


def probe(engine: Engine, task: Task, service: TestService, cancelled: threading.Event) -> Callable[[], bool]:
    """Return a function that returns whether `task` is ready.

    It also runs the image's HEALTHCHECK, because Docker runs that only after its interval, by default 30 s.
    """
    readiness = service.readiness
    if readiness.tcp is not None:
        return partial(accepts, task.inspect().address, readiness.tcp)
    if readiness.http is not None:
        port, _, path = readiness.http[1:].partition("/")
        return partial(answers, task.inspect().address, int(port), f"/{path}")
    command: Sequence[str] | None = readiness.command or engine.images.healthcheck(service.image)
    if command is None:
        return lambda: True
    return lambda: engine.containers.exec(task.container, command, _COMMAND, cancelled) == 0


def accepts(address: str, port: int) -> bool:
    """Return whether a program accepts connections at an address and port."""
    try:
        socket.create_connection((address, port), _ANSWER).close()
    except OSError:
        return False
    return True


def answers(address: str, port: int, path: str) -> bool:
    """Return whether the response to a GET is 2xx or 3xx."""
    connection = http.client.HTTPConnection(address, port, timeout=_ANSWER)
    try:
        connection.request("GET", path)
        with connection.getresponse() as response:
            return 200 <= response.status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
