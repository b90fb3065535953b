"""A pipeline.yaml that is served: read again when it changes, and kept as it was when the change is no good."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.base.clock import Clock, SystemClock
from pipeline.base.errors import ConfigError
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.event_kinds import EventKind
from pipeline.events import Listener
from pipeline.runner.context import PipelineContext
from pipeline.store.store import Store


class ServedFile:
    """The file, and the workshop that it makes. Raises `ConfigError` where the first reading fails."""

    def __init__(
        self,
        file: Path,
        home: Home,
        store: Store,
        listeners: Sequence[Listener],
        parameters: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.file = file.resolve()
        self._home = home
        self._store = store
        self._listeners = listeners
        self._parameters = dict(parameters or {})
        self._clock = clock or SystemClock()
        self._read_at = self._stamp()
        self.pipeline_context = self._read()
        self.name = self.pipeline_context.pipeline
        self._lock = threading.RLock()

    def reload_if_changed(self) -> bool:
        """Read the file if it is another one than before. True when what is served has changed."""
        with self._lock:
            return self._reload_if_changed()

    def _reload_if_changed(self) -> bool:
        stamp = self._stamp()
        # A file that is being replaced may be missing for a moment.
        if stamp is None or stamp == self._read_at:
            return False
        self._read_at = stamp
        return self.reload()

    def reload(self) -> bool:
        """Read the file in any case, with whatever it names. True when what is served has changed."""
        with self._lock:
            return self._reload()

    def _reload(self) -> bool:
        events = self.pipeline_context.events()
        try:
            found = self._read()
        except ConfigError as error:
            events.emit(
                EventKind.CONFIG_REJECTED, f"{self.file} has mistakes, and is served as it was: {error.message}"
            )
            return False
        if found.pipeline != self.name:
            text = (
                f"{self.file} is the pipeline {found.pipeline} now; {self.name} is served until `pipeline serve` ends"
            )
            events.emit(EventKind.CONFIG_REJECTED, text)
            return False
        self.pipeline_context = found
        events.emit(EventKind.CONFIG_RELOADED, f"{self.file} was read again")
        return True

    def _read(self) -> PipelineContext:
        configuration = load(self.file, self._parameters)
        return PipelineContext(self._home, configuration, self._store, self._listeners, self._parameters, self._clock)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.file)  # noqa: PTH116  # asked every second
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino
