"""The wall clock is set forward or back by an hour while commands, the daemon and HAProxy run."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.docker.docker_cli import docker, kill_process
from tests.docker.get import get
from tests.docker.project import Project, until
from tests.docker.serving import Serving
from tests.support.waiting import COMMAND_TIMEOUT
from tests.support.wall_clock import WallClock

HOUR = 3600
pytestmark = pytest.mark.docker


def both(usual: int) -> pytest.MarkDecorator:
    """Return a parametrization by both steps. Only the usual one is no long test."""
    return pytest.mark.parametrize("step", [usual, pytest.param(-usual, marks=pytest.mark.long)])


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


@pytest.fixture
def served(project: Project, clock: WallClock) -> Iterator[Serving]:
    """The daemon of a project, on the test's wall clock, whose version 1 is the active release 1."""
    served = Serving(project, **clock.environment)
    served.start()
    try:
        served.await_run(1)
        yield served
    finally:
        served.stop()


def step_at_each_event(project: Project, run: int, clock: WallClock, step: int, done: Callable[[], bool]) -> set[str]:
    """Set the clock after each event of a run. Return the kinds of the events."""
    seen = 0
    kinds: set[str] = set()
    with project.store() as store:
        while not done():
            new = store.events.latest(project.name, run, limit=10_000)[seen:]
            seen += len(new)
            kinds |= {event.kind for event in new}
            if new:
                clock.step(step)
            threading.Event().wait(0.01)
    return kinds


def slow_request(project: Project, milliseconds: int) -> Callable[[], str]:
    """Start a request, and return a function that waits for its response."""
    found: list[str] = []

    def ask() -> None:
        found.append(get(project, f"/slow?ms={milliseconds}"))

    thread = threading.Thread(target=ask)
    thread.start()

    def answer() -> str:
        thread.join()
        return "".join(found)

    until(lambda: sum(health.in_flight for health in project.targets()) > 0, "a request in flight")
    return answer


@both(HOUR)
def test_the_clock_is_set_in_every_phase_of_a_deployment(project: Project, clock: WallClock, step: int) -> None:
    """No request is lost, none in flight is cut before its delay, and no duration is wrong."""
    project.pipeline("run", **clock.environment)
    project.commit("2")
    with project.load() as load:
        answer = slow_request(project, 6000)
        command = project.start("run", **clock.environment)
        kinds = step_at_each_event(project, 2, clock, step, lambda: command.poll() is not None)
        assert command.returncode == 0, command.communicate(timeout=COMMAND_TIMEOUT)
        assert answer() == "at last\n"
        assert load.stop().failed == 0
    assert kinds >= {"container.started", "target.healthy", "target.draining", "container.stopped"}
    assert "target.requests_aborted" not in kinds
    project.assert_serving(2)
    with project.store() as store:
        run = store.queue.run(project.name, 2)
        stages = [record.duration for record in store.runs.stages(project.name, 2)]
        assert timedelta(0) < sum(stages, timedelta(0)) <= run.duration < timedelta(minutes=2)
        texts = " ".join(event.message for event in store.events.latest(project.name, 2, limit=10_000))
    assert not re.search(r"-\d+\.\d s|\d{4}\.\d s", texts)
    history = project.pipeline("history", **clock.environment).out
    assert f" {run.duration.total_seconds():.1f} s" in history


@both(-HOUR)
def test_requests_beyond_their_delay_are_cut_in_time(project: Project, clock: WallClock, step: int) -> None:
    """A drain that the clock would prolong by an hour ends after its delay."""
    project.configure(("deregistration_delay: 10s", "deregistration_delay: 3s"))
    project.pipeline("run", **clock.environment)
    project.commit("2")
    request = subprocess.Popen(
        ["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{project.port}/slow?ms=100000"], stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: sum(health.in_flight for health in project.targets()) > 0, "a request in flight")
        command = project.start("run", **clock.environment)
        kinds = step_at_each_event(project, 2, clock, step, lambda: command.poll() is not None)
        assert command.returncode == 0, command.communicate(timeout=COMMAND_TIMEOUT)
        assert "target.requests_aborted" in kinds
    finally:
        request.kill()
        request.wait(timeout=COMMAND_TIMEOUT)
    project.assert_serving(2)


@both(HOUR)
def test_a_crash_in_a_drain_is_recovered_at_another_time(project: Project, clock: WallClock, step: int) -> None:
    """The next process goes on with the drain where the killed one was, although the clock was set in between."""
    project.pipeline("run", **clock.environment)
    project.commit("2")
    with project.load() as load:
        answer = slow_request(project, 6000)
        command = project.start("run", **clock.environment)
        with project.store() as store:
            until(lambda: [e for e in store.events.latest(project.name, 2) if e.kind == "target.draining"], "a drain")
        command.kill()
        command.communicate(timeout=COMMAND_TIMEOUT)
        clock.step(step)
        project.pipeline("recover", **clock.environment)
        assert answer() == "at last\n"
        assert load.stop().failed == 0
    project.assert_serving(1)


@both(-HOUR)
def test_the_daemon_keeps_releases_healthy(served: Serving, clock: WallClock, step: int) -> None:
    """After the clock was set, a removed container is replaced, a restart is told, and a commit is deployed."""
    project = served.project
    clock.step(step)
    first, second = sorted(container.name for container in project.containers())
    docker("rm", "-f", first)
    served.await_event("reconcile.repaired")
    kill_process(second)
    assert served.await_event("target.restarted").fields["target"] == second
    with project.load() as load:
        project.commit("2")
        served.await_run(2)
        clock.step(-2 * step)
        project.commit("3")
        served.await_run(3)
        assert load.stop().failed == 0
    status = project.pipeline("status", **clock.environment).out
    assert "repairing" not in status
    project.assert_serving(3)
