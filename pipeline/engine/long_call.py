"""Long calls of the engine. They may be silent for minutes, and end when the run is cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from datetime import timedelta
from typing import TypeVar

from pipeline.base.errors import Cancelled
from pipeline.engine.interfaces import Engine, EngineConnection, Images

T = TypeVar("T")
_LOOK = 0.05
# Seconds to wait for the thread after its connection is closed. If no response has begun, as with a silent registry,
# there is nothing to close, and the thread ends as soon as one begins.
_HANG_UP = 2


def long_call(engine: Engine, work: Callable[[Images], T], limit: timedelta, cancelled: threading.Event) -> T:
    """Return the result of `work`, or raise its error. Raises `Cancelled`, or `TimeoutError` after `limit`.

    The connection is closed in every case, because the engine aborts the work of a client that has disconnected.
    """
    if cancelled.is_set():
        # The work could end before the first look.
        raise Cancelled("cancelled")
    result: Future[T] = Future()
    with engine.cancellable() as connection:
        thread = threading.Thread(target=_work, args=(work, connection, result), name="engine-call", daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + limit.total_seconds()
            while not wait([result], timeout=_LOOK).done:
                if cancelled.is_set():
                    raise Cancelled("cancelled")
                if time.monotonic() > deadline:
                    raise TimeoutError
            return result.result()
        finally:
            connection.close()
            thread.join(_HANG_UP)


def _work(work: Callable[[Images], T], connection: EngineConnection, result: Future[T]) -> None:
    try:
        result.set_result(work(connection.images))
    except BaseException as error:  # noqa: BLE001  # `long_call` raises it
        result.set_exception(error)
