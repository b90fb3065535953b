"""A long call of the engine, which may be silent all the while, and ends when nobody waits for it any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import timedelta
from typing import TypeVar

from pipeline.api import StageContext
from pipeline.engine.docker.connection import EngineConnection
from pipeline.engine.docker.engine import Engine

T = TypeVar("T")
_LOOK = 0.05
# Seconds from the end of its connection to the end of its thread. Where no answer has begun yet, as with a registry
# that is silent, there is nothing to close: then the thread ends by itself as soon as one begins.
_HANG_UP = 2


def call(context: StageContext, engine: Engine, work: Callable[[EngineConnection], T], limit: timedelta) -> T:
    """What `work` returns or raises. Raises `Cancelled`, or `TimeoutError` after `limit`.

    Docker ends what it does for a client that has gone, so the connection is closed however this ends.
    """
    result: Future[T] = Future()
    connection = engine.connection()
    thread = threading.Thread(target=_work, args=(work, connection, result), name="engine-call", daemon=True)
    thread.start()
    try:
        deadline = context.clock.monotonic() + limit.total_seconds()
        while not wait([result], timeout=_LOOK).done:
            context.check_cancelled()
            if context.clock.monotonic() > deadline:
                raise TimeoutError
        return result.result()
    finally:
        connection.close()
        thread.join(_HANG_UP)


def _work(work: Callable[[EngineConnection], T], connection: EngineConnection, result: Future[T]) -> None:
    try:
        result.set_result(work(connection))
    except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
        result.set_exception(error)
