"""The locks of accessories: one for changes of a pipeline's containers, and one for the data of each accessory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.base.errors import LockHeld
from pipeline.base.home import Home
from pipeline.base.lock import cancellable_lock, work_lock

# In seconds. An upgrade pulls an image and waits for a container meanwhile.
_TIMEOUT = 900.0
# A backup or a restore may take hours.
_DATA_HINT = "let it end, or stop it with Ctrl-C in its terminal, and repeat this command"


@contextmanager
def changes_lock(home: Home, pipeline: str, purpose: str, cancelled: threading.Event) -> Iterator[None]:
    """Hold the lock for changes of the accessories of a pipeline.

    Waits for another process that holds it. Raises `LockHeld` after a quarter of an hour, and `Cancelled`.
    """
    with cancellable_lock(_changes(home, pipeline), purpose, cancelled, _TIMEOUT):
        yield


@contextmanager
def try_changes_lock(home: Home, pipeline: str, purpose: str) -> Iterator[bool]:
    """Hold the lock for changes if it is free, and yield whether it is held."""
    with ExitStack() as stack:
        try:
            stack.enter_context(work_lock(_changes(home, pipeline), purpose))
        except LockHeld:
            yield False
            return
        yield True


@contextmanager
def data_lock(home: Home, pipeline: str, accessory: str, purpose: str) -> Iterator[None]:
    """Hold the lock of an accessory's data: for a backup, a restore, and while its container is stopped.

    Raises `LockHeld` if another process holds it. Taken before the lock for changes, never after it.
    """
    with work_lock(home.lock(f"{pipeline}.{accessory}.data"), purpose, hint=_DATA_HINT):
        yield


@contextmanager
def data_locks(home: Home, pipeline: str, accessories: Iterable[str], purpose: str) -> Iterator[None]:
    """Hold the locks of the data of several accessories. Raises `LockHeld` if another process holds one of them."""
    with ExitStack() as stack:
        for name in accessories:
            stack.enter_context(data_lock(home, pipeline, name, purpose))
        yield


def _changes(home: Home, pipeline: str) -> Path:
    # No pipeline's name has a dot.
    return home.lock(f"{pipeline}.accessories")
