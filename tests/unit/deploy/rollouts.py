"""Rollouts of one service against a runtime and a balancer in memory."""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from datetime import timedelta

from pipeline.balancer.model import TargetState
from pipeline.engine.runtime import ReplicaSpec, RestartPolicy
from pipeline.events import Event, Events
from pipeline.testing.fakes.program import Program
from pipeline.testing.fakes.runtime import FakeRuntime
from stages.deploy.decision import DesiredState, Strategy
from stages.deploy.executor import RolloutExecutor
from stages.deploy.replicas import ReplicaSet
from stages.deploy.rolling import RollingStrategy
from tests.support.balancer import FakeBalancer
from tests.support.passing_time import PassingTime

# A target whose requests were aborted is stopped this much later, whatever it still has in flight.
AFTER_ABORT = timedelta(seconds=2)


def desired(release: int, replicas: int = 3, surge: int = 1, unavailable: int = 0) -> DesiredState:
    """Return what a rollout to a release has to reach."""
    return DesiredState(f"t{release}", replicas, surge, unavailable, timedelta(seconds=30), timedelta(seconds=60))


class Rollouts:
    """The service `web` of the pipeline `shop`, which starts with no replicas.

    Whatever a test does, it is an error to end a running replica that may get requests, or that has some in flight
    within its delay. `programs` says what the replicas of a release run, and `sick` has the releases and
    the names of replicas that are not healthy. An empty `group` makes it a service without a target group.
    """

    def __init__(self) -> None:
        self.time = PassingTime()
        self.programs: dict[int, Program] = {}
        self.sick: set[int | str] = set()
        self.runtime = FakeRuntime(
            program=lambda spec: self.programs.get(spec.release, Program()),
            now=self.time.stamp,
            before_end=self._check_end,
        )
        self.balancer = FakeBalancer(is_up=self._is_up, now=self.time.stamp)
        self.events: list[Event] = []
        self.group = "web"
        self.notified: list[str] = []
        self.lowest_healthy = 10**6
        self.most_running = 0

    def to(
        self,
        release: int,
        wanted: DesiredState | None = None,
        *,
        cancelled: threading.Event | None = None,
        restart: RestartPolicy = RestartPolicy.ALWAYS,
        strategy: Strategy | None = None,
    ) -> None:
        """Roll out a release as the deployment does. Raises what the rollout raises."""
        wanted = wanted or desired(release)
        self._run(wanted, self.spec(release, wanted.template), cancelled, restart, strategy)

    def down(self) -> None:
        """Take every replica out of service."""
        self._run(replace(desired(0, replicas=0, surge=0), deploy_timeout=timedelta(0)), None, None, RestartPolicy.NO)

    def spec(self, release: int, template: str) -> ReplicaSpec:
        """Return what the replicas of a release are made from."""
        return ReplicaSpec(pipeline="shop", release=release, run=9, template=template, image="app", port=8080)

    def replica_set(self) -> ReplicaSet:
        """Return the replicas as a new process would see them."""
        return ReplicaSet(
            self.runtime,
            self.balancer,
            "shop",
            self.group,
            on_drain=lambda replica: self.notified.append(replica.name),
            now=self.time.stamp,
        )

    def serve_former(self, replicas: int = 3) -> None:
        """Put release 1 into service, and count from here."""
        self.to(1, desired(1, replicas, surge=replicas))
        self.events.clear()
        self.lowest_healthy, self.most_running = replicas, replicas

    def start_stray(self, release: int) -> str:
        """Start a replica without a target, as a process does that is killed before it registers it."""
        spec = replace(self.spec(release, f"t{release}"), name=f"shop.web.r{release}.{secrets.token_hex(3)}")
        self.runtime.start(spec)
        return spec.name

    def names(self, release: int) -> list[str]:
        """Return the names of a release's replicas, in any state."""
        return [replica.name for replica in self.runtime.list("shop") if replica.release == release]

    def kinds(self, kind: str) -> list[str]:
        """Return the targets of all events of a kind, in order."""
        return [str(event.fields["target"]) for event in self.events if event.kind == kind]

    def assert_serving(self, release: int, replicas: int = 3) -> None:
        """Exactly the wanted replicas are there, and each is a healthy target."""
        found = self.runtime.list("shop")
        assert [(r.release, r.running) for r in found] == [(release, True)] * replicas
        assert self.balancer.states() == dict.fromkeys((r.name for r in found), TargetState.HEALTHY)

    def _run(
        self,
        wanted: DesiredState,
        spec: ReplicaSpec | None,
        cancelled: threading.Event | None,
        restart: RestartPolicy,
        strategy: Strategy | None = None,
    ) -> None:
        events = Events("shop", 9)
        events.subscribe(self.events.append)
        self.runtime.prepare("shop")
        RolloutExecutor(
            self.replica_set(),
            wanted,
            strategy or RollingStrategy(),
            events,
            spec=spec,
            restart=restart,
            cancelled=cancelled,
            wait=self._wait,
        ).run()

    def _wait(self, seconds: float) -> None:
        self._sample()
        self.time.wait(seconds)

    def _sample(self) -> None:
        states, running = self.balancer.states(), self.runtime.running
        healthy = sum(state is TargetState.HEALTHY and name in running for name, state in states.items())
        self.lowest_healthy = min(self.lowest_healthy, healthy)
        self.most_running = max(self.most_running, len(running))

    def _is_up(self, name: str) -> bool:
        return name in self.runtime.running and not self.sick & {name, self.runtime.specs[name].release}

    def _check_end(self, name: str) -> None:
        self._sample()
        state, since = self.balancer.states().get(name), self.balancer.draining_since(name)
        assert state in (None, TargetState.DRAINING), f"{name} may get requests and is ended"
        delay = desired(1).deregistration_delay + AFTER_ABORT
        drained = self.balancer.in_flight[name] == 0 or (since is not None and self.time.stamp().since(since) >= delay)
        assert state is None or drained, f"{name} has requests in flight and is ended"
