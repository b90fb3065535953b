"""HAProxy is stopped by a signal or hangs, and is not dead."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.data_plane import Facts
from pipeline.balancer.haproxy import found_processes, process
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.base.clock import SystemClock
from pipeline.daemon.balancer_supervisor import BalancerSupervisor
from tests.support.waiting import DEADLINE, SOON, until
from tests.system.bench import Bench

WHICH = pytest.mark.parametrize("which", ["worker", "master", "both"])

TRACER = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
ATTACH, WALL = 16, 0x40000000
assert libc.ptrace(ATTACH, int(sys.argv[1]), None, None) == 0
# It runs until it is stopped, and could accept a connection.
os.waitpid(int(sys.argv[1]), WALL)
print("attached", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def supervised(bench: Bench) -> Iterator[list[tuple[str, str]]]:
    """Serve one target and run the daemon's supervisor. Yields its events."""
    bench.serve("a")
    events: list[tuple[str, str]] = []
    supervisor = BalancerSupervisor(bench.balancer, lambda kind, text: events.append((kind, text)), SystemClock())
    thread = threading.Thread(target=supervisor.run_forever)
    thread.start()
    until(lambda: process.can_pass_sockets(bench.balancer.directory), "a holder of the sockets")
    yield events
    supervisor.stop()
    thread.join(DEADLINE)
    assert not thread.is_alive()


def processes(bench: Bench, which: str) -> list[int]:
    """Return the master, the workers, or both."""
    master, *workers = found_processes.processes(bench.balancer.directory)
    return {"master": [master], "worker": workers, "both": [master, *workers]}[which]


def stop(pids: list[int]) -> None:
    """Stop processes as SIGSTOP does."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


@WHICH
def test_a_stopped_process_is_continued(bench: Bench, supervised: list[tuple[str, str]], which: str) -> None:
    """It is continued within seconds. Requests wait and none is lost, those in flight included."""
    pids = processes(bench, which)
    thread, answers = bench.get_later("/slow")
    until(lambda: (h := bench.health("a")) and h.in_flight == 1, "a request in flight")
    bench.backends[0].released.set()
    started = time.monotonic()
    stop(pids)
    assert bench.get() == (200, "a")
    until(lambda: not process.stopped(bench.balancer.directory), "no process is stopped")
    assert time.monotonic() - started < SOON
    thread.join()
    assert answers == [(200, "a")]
    assert processes(bench, which) == pids
    until(lambda: supervised, "an event")
    assert {kind for kind, _ in supervised} == {"balancer.resumed"}


def test_a_worker_that_hangs_is_replaced(bench: Bench, supervised: list[tuple[str, str]]) -> None:
    """A process that no signal continues is ended. New connections wait for the restart."""
    (worker,) = processes(bench, "worker")
    # A process that is traced is not continued by SIGCONT.
    tracer = subprocess.Popen(
        [sys.executable, "-c", TRACER, str(worker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with tracer:
        assert tracer.stdout is not None
        assert tracer.stdout.readline() == "attached\n"
        started = time.monotonic()
        assert bench.get() == (200, "a")
        assert time.monotonic() - started < SOON
        until(lambda: "balancer.restarted" in [kind for kind, _ in supervised], "an event")
    assert worker not in found_processes.processes(bench.balancer.directory)


@WHICH
def test_without_a_daemon_the_next_change_continues_it(bench: Bench, which: str) -> None:
    """A look says which processes are stopped, and any call that acts continues them."""
    bench.serve("a")
    pids = processes(bench, which)
    stop(pids)
    until(lambda: sorted(bench.balancer.stopped()) == sorted(pids), "the look finds them")
    bench.balancer.ensure_running()
    assert bench.balancer.stopped() == ()
    assert bench.get() == (200, "a")


@pytest.mark.parametrize("damage", ["", "0", "-1", "abc", None])
def test_without_its_pid_file_it_is_found(bench: Bench, damage: str | None) -> None:
    """HAProxy runs, is stopped and started as before when its pid file is removed or damaged."""
    bench.serve("a")
    pid, file = bench.balancer.pid(), bench.balancer.directory / "haproxy.pid"
    if damage is None:
        file.unlink()
    else:
        file.write_text(damage)
    assert bench.balancer.pid() == pid
    bench.balancer.ensure_running()
    assert bench.get() == (200, "a")
    bench.balancer.withdraw("shop")
    assert bench.balancer.pid() is None
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", bench.port)) != 0


def test_a_stopped_worker_without_a_master_is_ended(bench: Bench) -> None:
    """It would take its share of the connections and serve none of them."""
    bench.serve("a")
    (master, worker) = processes(bench, "both")
    stop([worker])
    os.kill(master, signal.SIGKILL)
    until(lambda: bench.balancer.pid() is None, "the master is gone")
    bench.balancer.ensure_running()
    until(lambda: worker not in found_processes.processes(bench.balancer.directory), "the worker has ended")
    assert [bench.get() for _ in range(20)] == [(200, "a")] * 20


class StoppedAtTheLook(HAProxyPlane):
    """A plane whose worker a signal stops when it is observed for the first time."""

    was_stopped = False

    def observe(self, groups: Collection[str] | None = None) -> Facts:
        if not self.was_stopped:
            self.was_stopped = True
            stop([found_processes.processes(self._path)[1]])
        return super().observe(groups)


def test_a_worker_that_is_stopped_while_it_is_observed_is_continued(bench: Bench) -> None:
    """It is not taken for one that hangs, so the request in flight is answered."""
    bench.serve("a")
    thread, answers = bench.get_later("/slow")
    until(lambda: (h := bench.health("a")) and h.in_flight == 1, "a request in flight")
    bench.backends[0].released.set()
    balancer = Balancer(bench.balancer.directory, StoppedAtTheLook(bench.balancer.directory))
    assert not balancer.ensure_running()
    thread.join()
    assert answers == [(200, "a")]
    assert len(balancer.resume()) == 1


def test_a_plane_that_does_not_respond_is_ended(bench: Bench) -> None:
    """Both processes are killed, and the next call starts HAProxy again."""
    bench.serve("a")
    stop(processes(bench, "worker"))
    assert HAProxyPlane(bench.balancer.directory).end_if_hung()
    assert bench.balancer.pid() is None
    assert bench.balancer.reconcile()
    assert bench.get() == (200, "a")
