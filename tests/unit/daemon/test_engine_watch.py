"""The watch on the engine's events is live only while no change can be missed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from pipeline.daemon.engine_watch import EngineWatch
from pipeline.engine.interfaces import ReplicaChange
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.engine_events import FakeEngineEvents
from tests.support.waiting import DEADLINE, until


class Watched:
    """A watch on fake events. `changed` holds what it has reported."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.events = FakeEngineEvents()
        self.changed: list[ReplicaChange | None] = []
        self.watch = EngineWatch(self.events, self.changed.append, self.clock)
        self._thread = threading.Thread(target=self.watch.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def go_live(self) -> None:
        """Wait for a connection, and let a second pass."""
        until(lambda: self.watch.check() < timedelta(seconds=30) and self.changed, "a connection")
        self.clock.advance(timedelta(seconds=1))
        assert self.watch.check() == timedelta(seconds=30)
        assert self.watch.is_live
        self.changed.clear()

    def stop(self) -> None:
        self.watch.stop()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    watched.start()
    yield watched
    watched.stop()


def test_it_is_live_a_second_after_the_connection(watched: Watched) -> None:
    """With a report for all at the connection and one when it becomes live."""
    until(lambda: watched.changed, "a connection")
    assert watched.changed == [None]
    assert watched.watch.check() == timedelta(seconds=1)
    assert not watched.watch.is_live
    watched.clock.advance(timedelta(seconds=1))
    watched.watch.check()
    assert watched.watch.is_live
    assert watched.changed == [None, None]


def test_each_change_is_passed_on(watched: Watched) -> None:
    """With the pipeline of the replica, and with nothing for others."""
    watched.go_live()
    changes = [ReplicaChange("shop", "shop.1", exit_code=137), ReplicaChange("blog", "blog.1")]
    for change in changes:
        watched.events.report(change)
    until(lambda: watched.changed == changes, "both changes")


def test_a_lost_connection_is_made_again(watched: Watched) -> None:
    """It is not live meanwhile. Both the loss and the new connection mean that anything may have changed."""
    watched.go_live()
    watched.events.go_away()
    until(lambda: watched.changed == [None], "a report of the loss")
    assert not watched.watch.is_live
    watched.events.is_away = False
    watched.clock.advance_to_next_timeout()
    until(lambda: watched.events.connections == 2, "another connection")
    watched.go_live()


def test_attempts_get_rarer_up_to_five_seconds(watched: Watched) -> None:
    """An engine that is away is asked after 0.5, 1, 2, 4, 5, 5 … seconds."""
    watched.go_live()
    watched.events.go_away()
    waits = [watched.clock.advance_to_next_timeout().total_seconds() for _ in range(6)]
    assert waits == [0.5, 1, 2, 4, 5, 5]


def test_an_engine_that_hangs_is_noticed(watched: Watched) -> None:
    """It is pinged every half minute. The connection is then given up, as one that was lost."""
    watched.go_live()
    watched.events.hangs = True
    watched.clock.advance(timedelta(seconds=30))
    watched.watch.check()
    assert not watched.watch.is_live
    until(lambda: watched.changed == [None], "a report of the loss")


def test_a_stop_before_the_start() -> None:
    """A watch that was stopped ends at once."""
    watched = Watched()
    watched.watch.stop()
    watched.start()
    watched.stop()
