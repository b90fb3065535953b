"""Hosts whose engines take long to answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.hosts_runtime import HostsRuntime
from pipeline.engine.patient_runtime import PatientRuntime
from pipeline.engine.reachable_host import HostChange, OpenHost, ReachableHost
from pipeline.engine.runtime import Replica, ReplicaSpec, Runtime
from pipeline.testing.fakes.clock import FakeClock
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.runtime import FakeRuntime
from tests.support.waiting import DEADLINE, until

SPEC = ReplicaSpec(pipeline="shop", release=1, run=1, template="first", image="app", port=8080)
LIMIT = 5.0


class SlowHost:
    """A host whose answers take `seconds`, by a clock that the answers move."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.seconds = 0.0
        self.connections = 0
        self.changes: list[HostChange] = []
        self.host = ReachableHost("app1", "a", self._connect, on_change=self.changes.append, clock=self.clock)

    def probe(self, seconds: float) -> bool:
        """Return whether the host answers after a probe that takes this long."""
        self.seconds = seconds
        self.clock.advance(timedelta(seconds=1))
        self.host.probe(self._list, LIMIT).result(DEADLINE)
        # It is asked by each list. The first time, a loss is reported.
        return not self.host.is_lost and self.host.answers

    def _connect(self) -> OpenHost:
        self.connections += 1
        return OpenHost(FakeRuntime(), FakeEngine(), lambda: None)

    def _list(self, _: Runtime) -> None:
        self.clock.advance(timedelta(seconds=self.seconds))


@pytest.fixture
def slow() -> SlowHost:
    """A host that answers at once so far."""
    slow = SlowHost()
    assert slow.probe(0)
    return slow


def test_an_answer_within_the_limit_is_one(slow: SlowHost) -> None:
    """Also after a failure of another kind."""
    assert slow.probe(5)

    def fail(_: Runtime) -> None:
        raise EngineFault("restarting")

    with pytest.raises(EngineFault):
        slow.host.ask(fail).result(DEADLINE)
    assert not slow.host.answers
    assert slow.probe(4)


def test_a_host_that_is_too_slow_is_lost_after_ten_seconds(slow: SlowHost) -> None:
    """As one that does not answer. Its connection is kept, since it works."""
    assert not slow.probe(5.1)
    assert slow.changes == []
    assert slow.host.fault.message == "host app1: its engine took 5.1 s to answer"
    assert not slow.probe(6)
    reason = "host app1: its engine took 6.0 s to answer"
    hint = "the host is used again once its engine takes at most 2.5 s"
    assert slow.changes == [HostChange("app1", is_lost=True, reason=reason, hint=hint)]
    assert slow.connections == 1


def test_a_host_at_the_limit_does_not_come_and_go(slow: SlowHost) -> None:
    """It is back once it answers in half of the limit, and may take all of it then."""
    for seconds in (5.1, 4.9, 5.1, 4.9, 2.6):
        assert not slow.probe(seconds)
    assert [change.is_lost for change in slow.changes] == [True]
    assert slow.probe(2.5)
    assert slow.probe(4.9)
    assert [change.is_lost for change in slow.changes] == [True, False]


def test_a_slow_call_is_as_a_slow_probe(slow: SlowHost) -> None:
    """A shorter answer right after it does not let the host answer again."""
    assert slow.host.silent(LIMIT).message == "host app1: no answer within 5 s"
    assert not slow.probe(4)
    assert slow.probe(2)


class SlowRuntime(FakeRuntime):
    """Takes `seconds` of real time to list the replicas of a pipeline, and none for those of no pipeline."""

    seconds = 0.0

    def list(self, pipeline: str) -> tuple[Replica, ...]:
        """Return them late."""
        if pipeline:
            threading.Event().wait(self.seconds)
        return super().list(pipeline)


@pytest.fixture
def runtimes() -> dict[str, SlowRuntime]:
    """Two hosts with a replica each, which are quick."""
    return {"one": SlowRuntime(), "two": SlowRuntime()}


@pytest.fixture
def hosts(runtimes: dict[str, SlowRuntime]) -> Iterator[HostsRuntime]:
    """A runtime whose times are a tenth of the usual ones."""

    def host(name: str) -> ReachableHost:
        opened = OpenHost(runtimes[name], FakeEngine(), lambda: None)
        return ReachableHost(name, name, lambda: opened, lost_after=timedelta(seconds=1))

    hosts = HostsRuntime([host(name) for name in runtimes], silence=timedelta(seconds=0.5))
    yield hosts
    hosts.close()


def test_replicas_on_other_hosts_are_listed_while_one_is_slow(
    runtimes: dict[str, SlowRuntime], hosts: HostsRuntime
) -> None:
    """A host that always answers, and always too late, is lost. In a process that prepares nothing, too."""
    for name, each in runtimes.items():
        each.start(replace(SPEC, name=f"r-{name}"))
    runtime = PatientRuntime(hosts)

    def listed() -> list[str]:
        with suppress(EngineFault):
            return sorted(replica.name for replica in runtime.list("shop"))
        return []

    until(lambda: listed() == ["r-one", "r-two"], "both hosts")
    runtimes["two"].seconds = 0.7
    until(lambda: listed() == ["r-one"] and runtime.lost == ("two",), "the loss")
    runtimes["two"].seconds = 0.0
    until(lambda: listed() == ["r-one", "r-two"], "the return")
