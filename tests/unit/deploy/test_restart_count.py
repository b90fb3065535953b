"""The number of exits of a release's containers."""

from __future__ import annotations

from datetime import timedelta

from pipeline.engine.runtime import Replica, ReplicaEnd, ReplicaSpec, RestartPolicy
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.runtime import FakeRuntime
from stages.deploy.restart_count import RestartCount


def start(runtime: FakeRuntime, name: str, release: int = 5, *, policy: RestartPolicy = RestartPolicy.ALWAYS) -> None:
    runtime.start(
        ReplicaSpec(pipeline="shop", release=release, run=1, template="t", image="i", port=80, name=name, service="web")
    )
    runtime.set_restart_policy(name, policy)


def counter(runtime: FakeRuntime) -> RestartCount:
    def wanted(present: tuple[Replica, ...]) -> list[Replica]:
        return [replica for replica in present if replica.release == 5]

    return RestartCount(runtime, "shop", wanted)


def test_restarts() -> None:
    """Exits that the runtime answers with a restart are counted for wanted replicas, each once."""
    runtime = FakeRuntime()
    for name, release in (("a", 5), ("b", 5), ("old", 4)):
        start(runtime, name, release)
    count = counter(runtime)
    assert count.value() == 0
    runtime.exit("a", 1)
    runtime.exit("old", 1)
    assert count.value() == 1
    runtime.exit("a", 1)
    runtime.exit("b", 0)
    assert count.value() == 3
    assert count.value() == 3


def test_an_exit_without_a_restart() -> None:
    """A container that has exited counts once, also when it is started again later, or removed."""
    runtime = FakeRuntime()
    start(runtime, "a", policy=RestartPolicy.NO)
    count = counter(runtime)
    runtime.exit("a", 1)
    assert [count.value(), count.value()] == [1, 1]
    runtime.remove("a")
    assert count.value() == 1


def test_restarts_from_before() -> None:
    """A process that continues a deployment counts the restarts from before."""
    runtime = FakeRuntime()
    start(runtime, "a")
    runtime.exit("a", 1)
    assert counter(runtime).value() == 1


class CountingRuntime(FakeRuntime):
    """Notes which replicas it is asked about."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(now=clock.now)
        self.asked: list[str] = []

    def ended(self, name: str) -> ReplicaEnd | None:
        self.asked.append(name)
        return super().ended(name)


def test_the_runtime_is_asked_only_if_needed() -> None:
    """A replica that runs on is inspected once, and again when its process is a young one."""
    clock = FakeClock()
    runtime = CountingRuntime(clock)
    start(runtime, "a")
    count = counter(runtime)
    for _ in range(200):
        clock.advance(timedelta(seconds=1))
        assert count.value() == 0
    assert runtime.asked == ["a"]
    runtime.exit("a", 1)
    assert count.value() == 1
    assert runtime.asked == ["a", "a"]
