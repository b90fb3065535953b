"""Scheduled backups of accessories in the daemon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from pipeline.base.clock import Clock
from pipeline.base.errors import PenstockError
from pipeline.base.local_zone import local_zone
from pipeline.base.time_zone import find_zone
from pipeline.config.accessory import Accessory, Backup
from pipeline.runner.context import PipelineContext
from pipeline.triggers.schedule import Schedule

if TYPE_CHECKING:
    from pipeline.api import StageContext

# The schedule is checked at least this often, because the wall clock may jump.
_MAX_WAIT = timedelta(seconds=20)
_MIN_WAIT = timedelta(milliseconds=10)
# Of a pipeline without schedules. A reload wakes the loop.
_IDLE_INTERVAL = timedelta(minutes=10)
_logger = structlog.get_logger(__name__)


def _make_backup(context: StageContext, accessory: str) -> None:
    from pipeline.accessories.backups import Backups
    from pipeline.engine.hosts import local_console, local_engine

    with local_engine(context.home.id) as engine:
        Backups(context, engine, local_console(context.home.id)).create(accessory)


@dataclass(frozen=True)
class _Plan:
    """The schedule of one accessory, and the keys that it follows from."""

    keys: tuple[str | None, str | None]
    schedule: Schedule


class BackupLoop:
    """Makes the backups of one pipeline when they are due, one after the other. One thread at a time calls `step`.

    A time that passes while the daemon does not run is not made up for. If several have passed since the last check, as
    after a suspend or during a long backup, one backup is made.
    """

    def __init__(
        self,
        pipeline_context: Callable[[], PipelineContext],
        clock: Clock,
        make_backup: Callable[[StageContext, str], None] = _make_backup,
    ) -> None:
        self._pipeline_context = pipeline_context
        self._clock = clock
        self._make_backup = make_backup
        self._cancelled = threading.Event()
        self._plans: dict[str, _Plan] = {}

    def step(self) -> timedelta:
        """Make the backups that are due, and return the time until the next call."""
        context = self._pipeline_context()
        found = _accessories(context).items()
        wanted = {name: each.backup for name, each in found if each.backup and each.backup.schedule}
        self._plan(wanted)
        due = [name for name in wanted if self._is_due(name)]
        for name in due:
            self._back_up(context, name)
        if not self._plans:
            return _IDLE_INTERVAL
        now = self._clock.now().wall
        times = [following.at - now for plan in self._plans.values() if (following := plan.schedule.next())]
        return max(_MIN_WAIT, min([*times, _MAX_WAIT]))

    def cancel(self) -> None:
        """Stop the backup that is being made. It leaves nothing. Safe to call from any thread."""
        self._cancelled.set()

    def _plan(self, wanted: Mapping[str, Backup]) -> None:
        """Keep the schedules that have not changed, and begin the others now."""
        now = self._clock.now().wall
        plans = {}
        for name, backup in wanted.items():
            keys, known = (backup.schedule, backup.timezone), self._plans.get(name)
            plans[name] = known if known and known.keys == keys else _Plan(keys, _schedule(backup, now))
        self._plans = plans

    def _is_due(self, name: str) -> bool:
        plan = self._plans[name]
        schedule, due = plan.schedule.advance(self._clock.now().wall)
        self._plans[name] = _Plan(plan.keys, schedule)
        return due is not None

    def _back_up(self, context: PipelineContext, name: str) -> None:
        try:
            with context.masking_errors():
                self._make_backup(context.stage_context(cancelled=self._cancelled), name)
        except PenstockError as error:
            # It has been emitted.
            _logger.warning("scheduled backup failed", accessory=name, error=error.message)


def _accessories(context: PipelineContext) -> Mapping[str, Accessory]:
    """Return the accessories of the served file and of the last deployment. Without the latter, it loads nothing."""
    found = context.configuration.pipeline.accessories
    if not context.store.accessories.deployed(context.pipeline):
        return found
    from pipeline.accessories.deployed import known_accessories

    return known_accessories(context.store, context.pipeline, found)


def _schedule(backup: Backup, now: datetime) -> Schedule:
    zone = find_zone(backup.timezone) if backup.timezone else local_zone()
    assert backup.schedule is not None
    return Schedule((backup.schedule,), zone, now)
