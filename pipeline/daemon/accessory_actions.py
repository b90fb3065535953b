"""What users do with the accessories of a pipeline through the daemon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from pipeline.base.errors import Cancelled, ConfigError, PenstockError, StageFailed
from pipeline.event_kinds import EventKind
from pipeline.runner.context import PipelineContext

if TYPE_CHECKING:
    from pipeline.api import StageContext

_logger = structlog.get_logger(__name__)


class AccessoryAction(StrEnum):
    """An action, as the command of `pipeline accessory` has it."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    UPGRADE = "upgrade"
    BACKUP = "backup"
    RESTORE = "restore"


Carry = Callable[["StageContext", AccessoryAction, str, str | None], None]


def _carry_out(context: StageContext, action: AccessoryAction, name: str, backup: str | None) -> None:
    from pipeline.accessories.accessories import Accessories
    from pipeline.accessories.backups import Backups
    from pipeline.engine.hosts import local_console, local_engine

    with local_engine(context.home.id) as engine:
        accessories = Accessories(context, engine)
        match action:
            case AccessoryAction.START:
                accessories.start([name])
            case AccessoryAction.STOP:
                accessories.stop(name)
            case AccessoryAction.RESTART:
                accessories.restart(name)
            case AccessoryAction.UPGRADE:
                accessories.upgrade(name)
            case AccessoryAction.BACKUP:
                backups = Backups(context, engine, local_console(context.home.id))
                with _reported():
                    backups.create(name)
            case AccessoryAction.RESTORE:
                backups = Backups(context, engine, local_console(context.home.id))
                with _reported():
                    backups.restore(name, backup)


class _Reported(Exception):
    """A failure that has an event."""


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except Cancelled:
        raise
    except PenstockError as error:
        raise _Reported from error


class AccessoryActions:
    """Carries out actions in threads of their own, at most one for each accessory. Safe to use from any thread.

    Events report the effect and the failure. What is wanted is in the store before a container changes, so the next
    daemon completes what a killed one began.
    """

    def __init__(self, pipeline_context: Callable[[], PipelineContext], carry_out: Carry = _carry_out) -> None:
        self._pipeline_context = pipeline_context
        self._carry_out = carry_out
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[str, AccessoryAction] = {}

    def begin(self, action: AccessoryAction, name: str, by: str | None, backup: str | None = None) -> str:
        """Begin an action, and return what is done now. Raises `ConfigError` if it is not possible.

        A restore needs the name of a `backup`. Without one, what is restored would depend on the time.
        """
        pipeline_context = self._pipeline_context()
        context = pipeline_context.stage_context(pipeline_context.events(by=by), cancelled=self._cancelled)
        _check(context, action, name, backup)
        with self._lock:
            if (running := self._running.get(name)) is not None:
                raise ConfigError(f"{name}: the {running} is in progress", hint="try again when it has ended")
            self._running[name] = action
        work = threading.Thread(
            target=self._run,
            args=(pipeline_context, context, action, name, backup),
            name=f"{action} of {name}",
            daemon=True,
        )
        work.start()
        return f"the {action} of {name} has begun"

    def check(self, name: str) -> None:
        """Raise `ConfigError` for a name that is neither declared nor started."""
        from pipeline.accessories.declared import DeclaredAccessories

        DeclaredAccessories(self._pipeline_context().stage_context()).check_known(name)

    def cancel(self) -> None:
        """Stop what is in progress, because the daemon stops. A backup leaves nothing."""
        self._cancelled.set()

    def _run(
        self,
        pipeline_context: PipelineContext,
        context: StageContext,
        action: AccessoryAction,
        name: str,
        backup: str | None,
    ) -> None:
        try:
            with pipeline_context.masking_errors():
                self._carry_out(context, action, name, backup)
        except Cancelled:
            _logger.info("action on an accessory cancelled", accessory=name, action=str(action))
        except (_Reported, StageFailed):
            # Of a start or an upgrade that is not healthy, an event tells too.
            _logger.info("action on an accessory failed", accessory=name, action=str(action))
        except PenstockError as error:
            text = f"the {action} of {name} failed: {error.message}"
            context.events.emit(EventKind.ACCESSORY_FAILED, text, accessory=name, reason=error.message)
        except Exception:
            _logger.exception("internal error in an action on an accessory", accessory=name, action=str(action))
        finally:
            with self._lock:
                del self._running[name]


def _check(context: StageContext, action: AccessoryAction, name: str, backup: str | None) -> None:
    """Raise `ConfigError` for an action that the accessory does not have, or a backup that does not fit it."""
    from pipeline.accessories.backup_files import BackupFiles
    from pipeline.accessories.declared import DeclaredAccessories

    declared = DeclaredAccessories(context)
    if backup is not None and action is not AccessoryAction.RESTORE:
        raise ConfigError(f"backup: is only for a restore, not for {action}")
    if action in (AccessoryAction.STOP, AccessoryAction.RESTART):
        declared.check_known(name)
        return
    settings = declared.check(name)
    if settings.backup is None and action is AccessoryAction.BACKUP:
        raise ConfigError(f"accessory {name} has no backup", hint=f"set accessories.{name}.backup in pipeline.yaml")
    if action is not AccessoryAction.RESTORE:
        return
    if settings.restore is None:
        raise ConfigError(f"accessory {name} has no restore", hint=f"set accessories.{name}.restore in pipeline.yaml")
    if backup is None:
        raise ConfigError("backup: is required for a restore", hint="use the name of a backup of the accessory")
    BackupFiles(context.home.backups(context.configuration.pipeline.name, name)).find(backup)
