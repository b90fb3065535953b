"""Backups of accessories: made and restored by commands in their containers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from pipeline.accessories.accessories import Accessories
from pipeline.accessories.backup_files import Backup, BackupFiles
from pipeline.accessories.command import ContainerCommand
from pipeline.accessories.declared import DeclaredAccessories
from pipeline.accessories.lock import data_lock
from pipeline.api import StageContext
from pipeline.base.errors import ConfigError, PenstockError, StageFailed
from pipeline.config.accessory import Backup as BackupSettings
from pipeline.config.accessory import Restore
from pipeline.engine.console import Console
from pipeline.engine.interfaces import Engine
from pipeline.event_kinds import EventKind

CHUNK = 64 * 1024
"""Bytes of a backup that are sent to a command at once."""


class Backups:
    """The backups of a pipeline's accessories. One process at a time works on the data of an accessory."""

    def __init__(self, context: StageContext, engine: Engine, console: Console) -> None:
        self._context = context
        self._pipeline = context.configuration.pipeline.name
        self._console = console
        self._accessories = Accessories(context, engine)
        self._declared = DeclaredAccessories(context)

    def files(self, name: str) -> BackupFiles:
        """Return the files of an accessory's backups."""
        return BackupFiles(self._context.home.backups(self._pipeline, name))

    def create(self, name: str) -> Backup:
        """Make a backup, and delete those that exceed `keep`.

        Raises `StageFailed` if its command fails or writes nothing, `ConfigError` if the accessory does not run or has
        no backup in pipeline.yaml, and `LockHeld` if another process works on its data. Nothing is left then.
        """
        settings = self._declared.check(name).backup
        if settings is None:
            raise ConfigError(f"accessory {name} has no backup", hint=f"set accessories.{name}.backup in pipeline.yaml")
        try:
            with data_lock(self._context.home, self._pipeline, name, f"backup of {name}"):
                made = self._create(name, settings)
                self._context.store.history.prune_events(self._pipeline)
                return made
        except PenstockError as error:
            self._emit(EventKind.BACKUP_FAILED, f"no backup of {name}: {error.message}", name, reason=error.message)
            raise

    def restore(self, name: str, backup: str | None = None) -> Backup:
        """Give a backup, by default the latest, to the accessory's restore command.

        The backup is compared with its digest first. Raises as `create` does, and `StoreFault` for a damaged backup. A
        command that fails may have restored a part.
        """
        settings, found = self.check_restore(name), self.files(name).find(backup)
        try:
            with (
                data_lock(self._context.home, self._pipeline, name, f"restore of {name}"),
                self.files(name).reading(found) as file,
            ):
                self._restore(name, settings, found, file)
        except PenstockError as error:
            text = f"the restore of {found.name} failed: {error.message}"
            self._emit(EventKind.RESTORE_FAILED, text, name, backup=found.name, reason=error.message)
            raise
        return found

    def check_restore(self, name: str) -> Restore:
        """Return the settings of a restore. Raises `ConfigError` if there are none."""
        settings = self._declared.check(name).restore
        if settings is None:
            hint = f"set accessories.{name}.restore in pipeline.yaml"
            raise ConfigError(f"accessory {name} has no restore", hint=hint)
        return settings

    def _create(self, name: str, settings: BackupSettings) -> Backup:
        clock, files = self._context.clock, self.files(name)
        container, started, now = self._accessories.container(name), clock.monotonic(), clock.now().wall
        self._emit(EventKind.BACKUP_STARTED, f"making a backup of {name}", name)
        with files.writing() as draft:
            command = self._command(f"the backup of {name}", container.id, settings)
            command.run(draft.write)
            if draft.size == 0:
                raise StageFailed(f"the backup of {name} wrote nothing to its standard output", tail=command.tail)
            made = files.complete(draft, name, self._image(name), now)
        seconds = round(clock.monotonic() - started, 3)
        text = f"backup {made.name} of {name}: {made.size:,} bytes in {seconds:.1f} s"
        self._emit(EventKind.BACKUP_FINISHED, text, name, backup=made.name, size=made.size, seconds=seconds)
        for old in files.prune(settings.keep):
            self._emit(EventKind.BACKUP_DELETED, f"deleted the backup {old} of {name}", name, backup=old)
        return made

    def _restore(self, name: str, settings: Restore, backup: Backup, file: IO[bytes]) -> None:
        clock = self._context.clock
        container, started = self._accessories.container(name), clock.monotonic()
        text = f"restoring {name} from backup {backup.name}"
        self._emit(EventKind.RESTORE_STARTED, text, name, backup=backup.name)
        command = self._command(f"the restore of {name}", container.id, settings)
        command.run(lambda data: self._context.log.line("restore", data.decode(errors="replace")), _chunks(file))
        seconds = round(clock.monotonic() - started, 3)
        text = f"restored {name} from backup {backup.name} in {seconds:.1f} s"
        self._emit(EventKind.RESTORE_FINISHED, text, name, backup=backup.name, seconds=seconds)

    def _command(self, name: str, container: str, settings: BackupSettings | Restore) -> ContainerCommand:
        process = self._console.exec(container, settings.command, tty=False)
        return ContainerCommand(process, name, settings.timeout, self._context.cancelled)

    def _image(self, name: str) -> str:
        """Return the name of the image that runs."""
        running = (each.current for each in self._declared.records() if each.name == name)
        version = next(running, None)
        return (version.settings if version else self._declared.check(name)).image

    def _emit(self, kind: EventKind, text: str, accessory: str, **fields: str | int | float) -> None:
        emit = self._context.events.emit_action if "by" in kind.fields else self._context.events.emit
        emit(kind, text, accessory=accessory, **fields)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while data := file.read(CHUNK):
        yield data
