"""Scheduled backups: at their times, once after a gap, and again after a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.api import StageContext
from pipeline.base.errors import StageFailed
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.daemon.backup_loop import BackupLoop
from pipeline.runner.context import PipelineContext
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from stages.deploy.accessories import finish_accessories

PIPELINE = """\
name: shop
deploy: {}
accessories:
  db: {image: db, backup: {command: [dump], schedule: "0 3 * * *", timezone: UTC}}
  other: {image: db, backup: {command: [dump]}}
"""
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Daemon:
    """A loop whose backups are noted in `made`, with the time."""

    def __init__(self, folder: Path, store: Store, home: Home) -> None:
        self.clock = FakeClock(NOON)
        self.file = folder / "pipeline.yaml"
        self._store = store
        self._home = home
        self.made: list[tuple[str, datetime]] = []
        self.then: Callable[[], None] = lambda: None
        self.reload(PIPELINE)
        self.loop = BackupLoop(lambda: self.context, self.clock, self._make)

    def reload(self, text: str) -> None:
        """Replace the file."""
        self.file.write_text(text)
        self.context = PipelineContext(self._home, load(self.file), self._store, clock=self.clock)

    def run_until(self, hours: float) -> None:
        """Let the daemon run for so long."""
        end = self.clock.monotonic() + hours * 3600
        while self.clock.monotonic() < end:
            self.clock.advance(self.loop.step())

    def _make(self, context: StageContext, accessory: str) -> None:
        self.made.append((accessory, self.clock.now().wall))
        self.then()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        yield Daemon(tmp_path, store, home)


def test_a_backup_is_made_at_each_due_time(daemon: Daemon) -> None:
    """Of the accessory with a schedule only."""
    daemon.run_until(48)
    due = [NOON.replace(day=day, hour=3) for day in (2, 3)]
    assert daemon.made == [("db", at) for at in due]


def test_a_backup_of_an_accessory_of_the_deployed_commit_is_made(daemon: Daemon) -> None:
    """The served file does not have the accessory."""
    finish_accessories(daemon.context.stage_context())
    daemon.reload("name: shop\ndeploy: {}\n")
    daemon.run_until(24)
    assert daemon.made == [("db", NOON.replace(day=2, hour=3))]


def test_the_time_zone_of_the_schedule(daemon: Daemon) -> None:
    """3 o'clock in Tokyo is 18 o'clock in UTC."""
    daemon.reload(PIPELINE.replace("timezone: UTC", "timezone: Asia/Tokyo"))
    daemon.run_until(24)
    assert daemon.made == [("db", NOON.replace(hour=18))]


def test_one_backup_is_made_after_a_suspend(daemon: Daemon) -> None:
    """Several due times have passed."""
    daemon.loop.step()
    daemon.clock.advance(timedelta(days=3))
    daemon.loop.step()
    daemon.loop.step()
    assert [name for name, _ in daemon.made] == ["db"]


def test_a_time_that_passed_before_the_start_is_not_made_up_for(daemon: Daemon) -> None:
    """As for the schedule of runs."""
    daemon.clock.advance(timedelta(days=3))
    daemon.loop.step()
    assert daemon.made == []


def test_a_failed_backup_is_made_again_at_the_next_time(daemon: Daemon) -> None:
    """The loop goes on."""

    def fail() -> None:
        raise StageFailed("no such table")

    daemon.then = fail
    daemon.run_until(48)
    assert len(daemon.made) == 2


def test_a_reload_keeps_a_schedule_that_has_not_changed(daemon: Daemon) -> None:
    """A due time during the reload is not lost. A new schedule begins at the reload."""
    daemon.loop.step()
    daemon.clock.advance(timedelta(hours=16))
    daemon.reload(PIPELINE.replace("  other: {image: db, backup: {command: [dump]}}\n", ""))
    daemon.loop.step()
    assert len(daemon.made) == 1
    daemon.clock.advance(timedelta(hours=1))
    daemon.reload(PIPELINE.replace("0 3", "0 4"))
    daemon.loop.step()
    assert len(daemon.made) == 1


def test_a_pipeline_without_schedules_is_looked_at_rarely(daemon: Daemon) -> None:
    """A reload wakes the loop."""
    daemon.reload("name: shop\ndeploy: {}\n")
    assert daemon.loop.step() == timedelta(minutes=10)


def test_a_daemon_that_stops_cancels_the_backup(daemon: Daemon) -> None:
    """Its context says so."""
    seen: list[StageContext] = []
    loop = BackupLoop(lambda: daemon.context, daemon.clock, lambda context, _: seen.append(context))
    loop.step()
    daemon.clock.advance(timedelta(hours=16))
    loop.step()
    assert not seen[0].cancelled.is_set()
    loop.cancel()
    assert seen[0].cancelled.is_set()
