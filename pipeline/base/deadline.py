"""A deadline for work that cannot be interrupted, such as a transfer over the network."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns, or raise what it raises. Raises `TimeoutError` after `seconds`.

    The timeout of a single read does not limit a server that sends a byte now and then, or name resolution. Work that
    is too late continues in its own thread, which does not keep the process alive. Its outcome is dropped.
    """
    outcome = Future[T]()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001  # `result` raises it
            outcome.set_exception(error)

    Thread(target=run, name="work with a deadline", daemon=True).start()
    return outcome.result(seconds)
