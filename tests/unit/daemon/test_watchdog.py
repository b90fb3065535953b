"""Notifications to systemd."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.daemon.watchdog import Watchdog
from pipeline.testing.fakes.clock import FakeClock
from tests.support.waiting import DEADLINE


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(DEADLINE)
        yield systemd


def environment(systemd: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "9000000", "OTHER": "kept", **more}


def test_a_daemon_that_works_notifies_systemd(systemd: socket.socket) -> None:
    """Three times in the interval, from `ready` on. The variables are removed from the environment."""
    clock, given = FakeClock(), environment(systemd, WATCHDOG_PID=str(os.getpid()))
    watchdog = Watchdog(given, clock)
    assert given == {"OTHER": "kept"}
    watchdog.ready()
    assert systemd.recv(100) == b"READY=1"
    for _ in range(3):
        assert systemd.recv(100) == b"WATCHDOG=1"
        assert clock.advance_to_next_timeout() == timedelta(seconds=3)


def test_a_loop_that_hangs_ends_the_notifications(systemd: socket.socket) -> None:
    """After a minute without progress. A daemon that is stopping may take longer."""
    clock = FakeClock()
    watchdog = Watchdog(environment(systemd), clock)
    watchdog.ready()
    assert systemd.recv(100) == b"READY=1"
    for _ in range(20):
        assert systemd.recv(100) == b"WATCHDOG=1"
        clock.advance_to_next_timeout()
    systemd.settimeout(0.2)
    with pytest.raises(TimeoutError):
        systemd.recv(100)


def test_a_daemon_that_waits_for_its_runs_is_not_killed(systemd: socket.socket) -> None:
    """Its loop has ended, and the notifications go on."""
    clock = FakeClock()
    watchdog = Watchdog(environment(systemd), clock)
    watchdog.ready()
    watchdog.stop()
    assert systemd.recv(100) == b"READY=1"
    for _ in range(30):
        assert systemd.recv(100) == b"WATCHDOG=1"
        clock.advance_to_next_timeout()


@pytest.mark.parametrize("changed", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": ""}])
def test_without_a_watchdog_only_the_start_is_notified(systemd: socket.socket, changed: dict[str, str]) -> None:
    """Also if the watchdog is that of another process."""
    Watchdog(environment(systemd, **changed), FakeClock()).ready()
    assert systemd.recv(100) == b"READY=1"
    systemd.settimeout(0.2)
    with pytest.raises(TimeoutError):
        systemd.recv(100)


def test_without_systemd_nothing_happens() -> None:
    """Every call does nothing."""
    watchdog = Watchdog({"WATCHDOG_USEC": "9000000"}, FakeClock())
    watchdog.ready()
    watchdog.progress()
    watchdog.stop()
