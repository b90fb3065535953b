"""What HAProxy reports by itself, and what happens to it if nobody listens."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from pipeline.balancer.haproxy import found_processes, process
from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.plane_monitor import PlaneMonitor
from pipeline.balancer.planes import open_monitor
from tests.support.waiting import SOON, until
from tests.system.bench import GROUP, OWNER, Bench


@pytest.fixture
def monitor(bench: Bench) -> Iterator[PlaneMonitor]:
    """An open monitor of a HAProxy with one healthy target."""
    monitor = open_monitor(bench.balancer.directory)
    assert monitor.open()
    bench.serve("a")
    monitor.owners()
    yield monitor
    monitor.close()


def await_report(monitor: PlaneMonitor) -> None:
    """Wait for a report about the bench's owner, and drop those that follow it at once."""
    assert until(monitor.owners, "a report") == {OWNER}


def flip(bench: Bench) -> None:
    """Close the target and open it again, which HAProxy reports."""
    target = f"{OWNER}.{GROUP}/a"
    Runtime(bench.balancer.directory).ask_worker(f"set server {target} state maint; set server {target} state ready")


def test_a_target_that_goes_down_and_up_is_reported(bench: Bench, monitor: PlaneMonitor) -> None:
    """With its owner."""
    bench.backends[0].health = 503
    await_report(monitor)
    bench.backends[0].health = 200
    await_report(monitor)


def test_a_monitor_that_nobody_reads_loses_no_request(bench: Bench, monitor: PlaneMonitor) -> None:
    """HAProxy drops reports when the queue is full, and answers at once."""
    for _ in range(600):
        flip(bench)
    started = time.monotonic()
    assert bench.get() == (200, "a")
    assert time.monotonic() - started < SOON
    assert monitor.owners() == {OWNER}


def test_a_monitor_that_is_gone_loses_no_request(bench: Bench, monitor: PlaneMonitor) -> None:
    """The next process listens at the same path, and gets the next report."""
    monitor.close()
    flip(bench)
    assert bench.get() == (200, "a")
    assert monitor.open()
    flip(bench)
    await_report(monitor)


def test_a_socket_that_was_removed_is_made_again(bench: Bench, monitor: PlaneMonitor) -> None:
    """By the next `open`."""
    (bench.balancer.directory / "state.sock").unlink()
    assert monitor.open()
    flip(bench)
    await_report(monitor)


def test_whether_it_responds(bench: Bench, monitor: PlaneMonitor) -> None:
    """A stopped worker does not, and neither does a HAProxy whose socket was removed or that is dead."""
    assert monitor.is_responding()
    (worker,) = found_processes.workers(bench.balancer.directory)
    os.kill(worker, signal.SIGSTOP)
    started = time.monotonic()
    assert not monitor.is_responding()
    assert time.monotonic() - started < SOON
    os.kill(worker, signal.SIGCONT)
    until(monitor.is_responding, "it responds again")

    def is_silent_without_socket() -> bool:
        (bench.balancer.directory / "master.sock").unlink(missing_ok=True)
        return not monitor.is_responding()

    # A master that has just started may make its socket anew.
    until(is_silent_without_socket, "it does not respond")
    process.kill(bench.balancer.directory)
    assert not monitor.is_responding()
