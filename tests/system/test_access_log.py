"""The access log that HAProxy writes: over kills of HAProxy, and over truncations under traffic."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from urllib.parse import urlsplit

import pytest

from pipeline.balancer.access import AccessRecord
from pipeline.balancer.haproxy import directory
from pipeline.balancer.model import TargetState
from tests.support.access_log import written
from tests.support.waiting import until
from tests.system.bench import Bench


def paths(records: Iterable[AccessRecord]) -> list[str]:
    return [urlsplit(record.entry().request.split()[1]).path for record in records]


def test_a_long_access_log_is_cut(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under traffic, a long log is moved to a second file, twice. No line is damaged, lost or read twice."""
    monkeypatch.setattr(directory, "MAX_ACCESS_LOG_BYTES", 2**16)
    bench.serve("a")
    log = bench.balancer.directory / "access.log"
    rotated, following = log.with_suffix(".log.1"), bench.balancer.access_log()
    asked, followed, caps = 0, list[str](), list[int]()
    while len(caps) < 2 or asked % 100:
        bench.get(f"/{asked}")
        asked += 1
        if asked % 10 == 0:
            # Else the log may exceed the limit by more lines at the next look.
            until(lambda wanted=f"/{asked - 1} ": wanted.encode() in written(log), "the line is written")
            followed += paths(following.appended())
            before = rotated.stat().st_ino if rotated.exists() else None
            bench.balancer.ensure_running()
            if rotated.exists() and rotated.stat().st_ino != before:
                caps.append(asked)
    assert caps[1] - caps[0] > 100, "the hole does not count as size"
    until(lambda: f"/{asked - 1} ".encode() in written(log), "the last line is written")
    followed += paths(following.appended())
    newest = bench.balancer.access_log()
    kept = paths(newest.newest_first())[::-1]
    assert followed == [f"/{number}" for number in range(asked)]
    assert kept == followed[-len(kept) :]
    # The log may have exceeded the limit by the last ten lines.
    assert len(kept) >= asked - caps[0] - 10
    assert (following.unreadable, newest.unreadable) == (0, 0)
    assert b"\0" not in rotated.read_bytes().lstrip(b"\0"), "the only hole is at the begin"
    assert rotated.stat().st_mode & 0o777 == 0o600


def test_a_killed_haproxy_continues_the_log(bench: Bench) -> None:
    """After a kill and a start, new lines follow the old ones."""
    bench.serve("a")
    log = bench.balancer.directory / "access.log"
    for number in range(3):
        bench.get(f"/{number}")
        until(lambda wanted=f"/{number} ": wanted in written(log).decode(), "the line is written")
        pid = bench.balancer.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: bench.balancer.pid() is None, "HAProxy is gone")
        assert bench.balancer.ensure_running()
        bench.await_state("a", TargetState.HEALTHY)
    records = bench.balancer.access_log()
    assert paths(records.newest_first()) == ["/2", "/1", "/0"]
    assert records.unreadable == 0
