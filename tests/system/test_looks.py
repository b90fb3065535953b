"""Reads of the balancer change nothing in any state: every system call is traced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT
from tests.support.waiting import COMMAND_TIMEOUT, until
from tests.system.bench import GROUP, OWNER, Bench

# Prints the interpreter's events that change something, and the result of the read.
_PROGRAM = """\
import json, os, sys
from pathlib import Path
from pipeline.balancer.effective import effective_listeners
from pipeline.balancer.planes import open_balancer

directory, owner, group = sys.argv[1:]
acts = []
_ACTS = ("fcntl.", "os.", "shutil.", "subprocess.", "tempfile.", "socket.bind", "signal.", "_thread.start_new_thread")
_LOOKS = ("os.listdir", "os.scandir", "os.stat", "os.fspath")

def hear(event, arguments):
    if event == "open":
        mode, flags = arguments[1], arguments[2] or 0
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
            acts.append([event, str(arguments[0])])
    elif event.startswith(_ACTS) and event not in _LOOKS:
        acts.append([event, str(arguments)])

balancer = open_balancer(Path(directory))
sys.addaudithook(hear)
health = balancer.target_health(owner, group)
effective_listeners(balancer.registry())
balancer.declaration(owner)
balancer.check_deletion_protection("nobody")
balancer.pid()
print(json.dumps({"acts": acts, "states": [h.state for h in health], "reasons": [h.reason for h in health]}))
"""


def looked_at(directory: Path) -> dict[str, Any]:
    """Return the results of a process, and its system calls that change something."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(directory), OWNER, GROUP],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def contents(directory: Path) -> dict[str, tuple[int, int]]:
    """Return each file with its modification time."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in directory.iterdir()}


def test_the_trace_sees_what_acts(tmp_path: Path) -> None:
    """A reconciliation takes the lock, which the trace shows."""
    program = _PROGRAM.replace("balancer.pid()", "balancer.ensure_running()")
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "b"), OWNER, GROUP],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=COMMAND_TIMEOUT,
    )
    acts = {event for event, _ in json.loads(done.stdout)["acts"]}
    assert {"open", "fcntl.flock", "os.mkdir"} <= acts


def test_a_look_does_nothing_else(bench: Bench) -> None:
    """A read changes nothing while HAProxy runs, although a target could be admitted."""
    bench.serve("a")
    new = bench.backend("new")
    bench.balancer.register(OWNER, GROUP, new.target)
    until(lambda: new.checks > 1, "it is checked")
    before = contents(bench.balancer.directory)
    found = looked_at(bench.balancer.directory)
    assert (found["acts"], found["states"]) == ([], ["healthy", "initial"])
    assert contents(bench.balancer.directory) == before


def test_a_look_at_a_dead_haproxy_starts_nothing(bench: Bench) -> None:
    """Targets of a dead HAProxy are unhealthy, and a read does not start it."""
    bench.serve("a")
    pid = bench.balancer.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: bench.balancer.pid() is None, "HAProxy is gone")
    before = contents(bench.balancer.directory)
    found = looked_at(bench.balancer.directory)
    assert (found["acts"], found["states"], found["reasons"]) == ([], ["unhealthy"], ["Elb.InternalError"])
    assert contents(bench.balancer.directory) == before
    assert bench.balancer.pid() is None


def test_a_look_while_a_change_is_unfinished(bench: Bench) -> None:
    """A read shows and leaves the state after a crash."""
    bench.serve("a")
    (bench.balancer.directory / "unfinished").touch()
    found = looked_at(bench.balancer.directory)
    assert (found["acts"], found["states"]) == ([], ["healthy"])
    assert (bench.balancer.directory / "unfinished").exists()


def test_a_look_where_nothing_is(tmp_path: Path) -> None:
    """A read creates no directory."""
    found = looked_at(tmp_path / "balancer")
    assert (found["acts"], found["states"]) == ([], [])
    assert list(tmp_path.iterdir()) == []


def test_a_look_waits_for_no_lock(bench: Bench) -> None:
    """A read does not wait while another process holds the lock."""
    from pipeline.base.lock import short_lock

    bench.serve("a")
    with short_lock(bench.balancer.directory / "lock"):
        assert looked_at(bench.balancer.directory)["states"] == ["healthy"]
