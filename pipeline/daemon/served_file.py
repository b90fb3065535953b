"""A pipeline.yaml of the daemon. A valid change is reloaded; an invalid one keeps the previous configuration."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.base.clock import Clock, SystemClock
from pipeline.base.errors import ConfigError
from pipeline.base.files import FileStamp, file_stamp
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.event_kinds import EventKind
from pipeline.events import Listener
from pipeline.runner.context import PipelineContext
from pipeline.store.store import Store


class ServedFile:
    """One pipeline.yaml with its current context. The constructor raises `ConfigError` if the file is invalid.

    `error` is that of the file as it is now, or None if the context is made from it. `is_triggered`: its triggers start
    runs. `is_service`: it stands for a service that a stack has made, which only the stack and its API change.
    """

    is_triggered = True
    is_service = False

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
        self._context = self._read()
        self._env_files = dict(self._context.configuration.env_files)
        self.name = self._context.pipeline
        self.error: ConfigError | None = None
        self._lock = threading.RLock()

    @property
    def group_owner(self) -> str:
        """The owner of the target group."""
        return self.name

    @property
    def pipeline_context(self) -> PipelineContext:
        """The context of the configuration that is used now."""
        return self._context

    def has_become_valid(self) -> bool:
        """Return whether a rejected file is valid now without a change of its own, but of a file that it names."""
        if self.error is None:
            return False
        try:
            found = load(self.file, self._parameters)
        except ConfigError as error:
            self.error = error.with_traceback(None)
            return False
        return found.pipeline.name == self.name

    def check(self, parameters: Mapping[str, str]) -> None:
        """Raise `ConfigError` if the file is invalid now, also if only with these parameters of a run."""
        if self.error is not None:
            # Without the traceback, which would grow with each call.
            raise self.error.with_traceback(None)
        if parameters:
            load(self.file, {**self._parameters, **parameters})

    def reload_if_changed(self) -> bool:
        """Reload if the file or an `env_file` changed. Return whether the configuration was replaced."""
        with self._lock:
            return self._reload_if_changed()

    def _reload_if_changed(self) -> bool:
        stamp, env_files = self._stamp(), {file: file_stamp(file) for file in self._env_files}
        # A file that is being replaced may be missing for a moment.
        if stamp is None or (stamp == self._read_at and env_files == self._env_files):
            return False
        self._read_at, self._env_files = stamp, env_files
        return self.reload()

    def reload(self) -> bool:
        """Reload the file and the files that it names. Return whether the configuration was replaced."""
        with self._lock:
            return self._reload()

    def _reload(self) -> bool:
        events = self._context.events()
        try:
            found = self._read()
        except ConfigError as error:
            self.error = error.with_traceback(None)
            events.emit(
                EventKind.CONFIG_REJECTED,
                f"{self.file} is invalid, keeping the previous configuration: {error.message}",
            )
            return False
        if found.pipeline != self.name:
            text = f"{self.file} declares {found.pipeline} now, keeping {self.name} until `pipeline serve` restarts"
            self.error = ConfigError(text)
            events.emit(EventKind.CONFIG_REJECTED, text)
            return False
        self._context, self.error = found, None
        self._env_files = dict(found.configuration.env_files)
        events.emit(EventKind.CONFIG_RELOADED, f"reloaded {self.file}")
        return True

    def _read(self) -> PipelineContext:
        configuration = load(self.file, self._parameters)
        return PipelineContext(self._home, configuration, self._store, self._listeners, self._parameters, self._clock)

    def _stamp(self) -> FileStamp | None:
        return file_stamp(self.file)
