"""Faults and other test controls of the fake engine and the fake runtime."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.container import ContainerSpec
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.runtime import FakeRuntime
from tests.support.waiting import DEADLINE

SPEC = ContainerSpec("one", "app", {}, network="n")
REPLICA = ReplicaSpec(pipeline="shop", release=1, run=1, template="t", image="app", port=80, name="one")


@pytest.fixture
def engine() -> FakeEngine:
    """An engine that has the image."""
    engine = FakeEngine()
    engine.images.add("app")
    return engine


def test_a_call_fails_as_often_as_requested(engine: FakeEngine) -> None:
    """An injected failure has no effect on the engine, and the next call works."""
    engine.faults.fail("containers.start", EngineFault("no space left"), times=2)
    for _ in range(2):
        with pytest.raises(EngineFault, match="no space left"):
            engine.containers.start(SPEC)
        assert engine.containers.find("one") is None
    engine.containers.start(SPEC)
    assert engine.faults.calls["containers.start"] == 3


def test_a_call_whose_answer_is_lost_takes_effect(engine: FakeEngine) -> None:
    """A call whose response is lost takes effect and raises an error."""
    engine.faults.lose_answer("containers.start")
    with pytest.raises(EngineFault):
        engine.containers.start(SPEC)
    assert engine.containers.find("one") is not None


def test_a_call_hangs_until_it_is_released(engine: FakeEngine) -> None:
    """A call hangs until its release, and other calls return meanwhile."""
    hang = engine.faults.hang("containers.start")
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(engine.containers.start, SPEC)
        hang.wait_until_called()
        assert engine.containers.find("one") is None
        assert not started.done()
        hang.release()
        assert started.result(DEADLINE)
    assert engine.containers.find("one") is not None


def test_a_daemon_that_is_killed_ends_processes(engine: FakeEngine) -> None:
    """A killed daemon fails all calls until it is started. A process without a restart policy stays stopped."""
    engine.containers.start(SPEC)
    engine.kill_daemon()
    assert not engine.answers()
    with pytest.raises(EngineFault):
        engine.containers.find("one")
    engine.start_daemon()
    assert engine.answers()
    found = engine.containers.inspect("one")
    assert (found.state, found.exit_code) == ("exited", 137)


def test_a_daemon_that_is_killed_ends_calls_that_hang(engine: FakeEngine) -> None:
    """Calls that hang when the daemon is killed fail without effect."""
    hang = engine.faults.hang("containers.start")
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(engine.containers.start, SPEC)
        hang.wait_until_called()
        engine.kill_daemon()
        assert isinstance(started.exception(10), EngineFault)
    engine.start_daemon()
    assert engine.containers.find("one") is None


@pytest.mark.parametrize(
    ("policy", "stopped", "runs"),
    [
        (RestartPolicy.NO, False, False),
        (RestartPolicy.ON_FAILURE, False, True),
        (RestartPolicy.ALWAYS, False, True),
        (RestartPolicy.ALWAYS, True, True),
        (RestartPolicy.UNLESS_STOPPED, False, True),
        (RestartPolicy.UNLESS_STOPPED, True, False),
    ],
)
def test_a_daemon_that_starts_follows_the_restart_policies(policy: RestartPolicy, stopped: bool, runs: bool) -> None:
    """A started daemon restarts the containers that Docker would, also after a stop by hand."""
    runtime = FakeRuntime()
    runtime.start(REPLICA)
    runtime.set_restart_policy("one", policy)
    if stopped:
        runtime.stop("one", timedelta(seconds=1))
    runtime.kill_daemon()
    runtime.start_daemon()
    (found,) = runtime.list("shop")
    assert found.running is runs


def test_a_stream_that_waits_ends_with_the_daemon(engine: FakeEngine) -> None:
    """A stream of output ends when the daemon dies."""
    engine.containers.start(SPEC)
    engine.containers.print("one", "hello")
    heard, lines = threading.Event(), list[str]()

    def read() -> None:
        for line in engine.containers.stream("one"):
            lines.append(line)
            heard.set()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        assert heard.wait(DEADLINE)
        engine.kill_daemon()
        error = reading.exception(10)
    assert lines == ["hello"]
    assert error is None or isinstance(error, EngineFault)


def test_a_replica_that_another_program_removes_is_forgotten() -> None:
    """A replica can be removed without a call of the runtime."""
    runtime = FakeRuntime()
    runtime.start(REPLICA)
    runtime.forget("one")
    assert runtime.list("shop") == ()


def test_ages_follow_the_time_that_the_test_gives() -> None:
    """The age of a young process follows the test's time, and an old one has none."""
    clock = FakeClock()
    runtime = FakeRuntime(now=clock.now)
    runtime.start(REPLICA)
    clock.advance(timedelta(seconds=5))
    assert runtime.list("shop")[0].running_for == 5
    clock.advance(timedelta(hours=1))
    assert runtime.list("shop")[0].running_for is None


def test_an_end_is_announced_before_it_happens() -> None:
    """`before_end` is called while the replica still runs, and not for one that has exited."""
    ended: list[tuple[str, bool]] = []
    runtime = FakeRuntime(before_end=lambda name: ended.append((name, runtime.list("shop")[0].running)))
    runtime.start(REPLICA)
    runtime.stop("one", timedelta(seconds=1))
    runtime.remove("one")
    assert ended == [("one", True)]
