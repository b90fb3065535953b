"""The resident process: the pipelines that it serves, the hooks that call it, and HAProxy."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path

import structlog

from pipeline.balancer.planes import open_balancer
from pipeline.base.clock import Clock, SystemClock
from pipeline.base.errors import ConfigError, PenstockError, StoreFault
from pipeline.base.home import Home
from pipeline.daemon.balancer_supervisor import BalancerSupervisor
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.event_kinds import EventKind
from pipeline.events import Listener
from pipeline.store.records import Trigger
from pipeline.store.store import Store
from pipeline.triggers.spool import Spool

_REFRESH = timedelta(seconds=1)
_logger = structlog.get_logger(__name__)
# As Python has it by itself: objects of each generation that are made before it looks for garbage among them.
_GARBAGE = (700, 10, 10)
# Of glibc's malloc.h.
_M_ARENA_MAX = -8


def limit_malloc_arenas() -> None:
    """Have all threads take memory from one place, where glibc is; to be called before there are any.

    It would give each thread its own, and keep there what was in use once: after some deployments, a seventh of all
    that a daemon takes.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


class Daemon:
    """Serves pipelines of one home. Raises `ConfigError` at the start, for a file that cannot be served."""

    def __init__(
        self,
        home: Home,
        store: Store,
        files: Sequence[Path],
        listeners: Sequence[Listener] = (),
        parameters: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.home = home
        self.store = store
        self._listeners = listeners
        self._clock = clock or SystemClock()
        served_file = [ServedFile(file, home, store, listeners, parameters, self._clock) for file in files]
        self.supervisors = {s.name: PipelineSupervisor(s, self._clock) for s in served_file}
        if len(self.supervisors) < len(served_file):
            raise ConfigError("two of the files have the same name", hint="each pipeline has a name of its own")
        self._spool = Spool(home.spool)
        self._balancer_supervisor = BalancerSupervisor(open_balancer(home.balancer), self._tell_all, self._clock)
        self._notified = threading.Event()
        self._ending = threading.Event()
        self._reloading = threading.Event()

    def run_forever(self) -> None:
        """Until `end`: start everything, then follow what changes on disk."""
        # A command may end before its garbage matters; we stay. What is here by now is none, and need not be looked at.
        gc.freeze()
        gc.set_threshold(*_GARBAGE)
        with ExitStack() as stack:
            try:
                stack.enter_context(self._spool.watch(self._notified.set))
            except PenstockError as error:
                self._tell_all(EventKind.TRIGGER_POLLING, f"looking for words of hooks every second: {error.message}")
            threading.Thread(target=self._balancer_supervisor.run_forever, name="guard", daemon=True).start()
            for supervisor in self.supervisors.values():
                supervisor.start()
            while not self._ending.is_set():
                try:
                    self._look()
                except (PenstockError, OSError) as error:
                    # With no descriptor or no room on the disk left for a while, what is served is served on.
                    _logger.warning("refresh failed", error=str(error))
                self._clock.wait(self._notified, _REFRESH)
                self._notified.clear()

    def _look(self) -> None:
        self.store.events.flush()
        self._take_words()
        forced = self._reloading.is_set()
        self._reloading.clear()
        for supervisor in self.supervisors.values():
            supervisor.reload_if_changed(forced=forced)

    def reload(self) -> None:
        """Read every served file again."""
        self._reloading.set()
        self._notified.set()

    def end(self) -> None:
        """Have `work` return."""
        self._ending.set()
        self._notified.set()

    def close(self, patience: float) -> None:
        """Begin nothing more; returns when all is over, or so many seconds have passed."""
        self._balancer_supervisor.stop()
        closing = [
            threading.Thread(target=supervisor.stop, args=(patience,), daemon=True)
            for supervisor in self.supervisors.values()
        ]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    def _take_words(self) -> None:
        """Hooks have left word: the pipelines of those repositories look."""
        try:
            words = self._spool.files()
        except OSError as error:
            raise StoreFault(f"cannot read {self.home.spool}: {error.strerror}") from error
        for file, repository in words.items():
            for supervisor in self.supervisors.values():
                if supervisor.git_directory() == repository:
                    supervisor.notify(Trigger.HOOK)
            self._spool.remove(file)

    def _tell_all(self, kind: EventKind, message: str) -> None:
        for supervisor in self.supervisors.values():
            supervisor.served_file.pipeline_context.events().emit(kind, message)
