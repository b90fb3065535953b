"""Auto scaling beside deployments, kills, restarts and users, in any order."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.base.errors import BalancerFault
from pipeline.base.home import Home
from pipeline.scaling.policy import ScalingPolicy
from pipeline.store.records import Deployment, DeploymentState
from pipeline.store.store import Store
from tests.support.sample import sampled
from tests.support.scaled_service import INTERVAL, NAME, ScaledService, policy_text

POLICIES = st.builds(
    lambda low, more, **keys: policy_text(min=low, max=low + more, **keys),
    st.integers(0, 6),
    st.integers(1, 6),
    target=st.sampled_from([{"requests_per_target": 100}]),
    scale_in_cooldown=st.sampled_from(["0s", "1m"]),
    scale_out_cooldown=st.sampled_from(["0s", "1m"]),
)


class Machine(RuleBasedStateMachine):
    """A daemon, a user and a load. A repair may hold the lock, as it does while it starts or drains replicas."""

    @initialize(count=st.integers(1, 12), policy=POLICIES)
    def begin(self, count: int, policy: str) -> None:
        """Deploy the service."""
        folder = self._folder = Path(tempfile.mkdtemp())
        home = Home.locate({"PENSTOCK_HOME": str(folder / "home")})
        self._store = Store(home.database)
        self.service = ScaledService(folder, self._store, home)
        self.service.deploy(count, policy)
        self._held = ExitStack()
        self._open: tuple[Deployment, int] | None = None
        self._expected = count
        self._seen_changes = 0

    def teardown(self) -> None:
        """Remove the home."""
        if hasattr(self, "_store"):
            self._held.close()
            self._store.close()

    @rule(requests=st.none() | st.integers(0, 1500), missing=st.integers(0, 3))
    def load_changes(self, requests: int | None, missing: int) -> None:
        """Let the load be another, or unknown."""
        self.service.requests, self.service.missing = requests, min(missing, self.service.count)

    @precondition(lambda self: self.service.count == 0)
    @rule(count=st.integers(1, 5))
    def requests_are_held(self, count: int) -> None:
        """Let requests arrive while there is no replica. The daemon hears of it, if there is one."""
        self.service.held += count
        self.daemon_hears_of_held_requests()

    @precondition(lambda self: self.service.held)
    @rule()
    def clients_leave(self) -> None:
        """Let all clients give up."""
        self.service.held = 0

    @precondition(lambda self: self.service.held)
    @rule()
    def daemon_hears_of_held_requests(self) -> None:
        """Let the daemon look, as it does when the activator reports. A replica is wanted at once."""
        before = self.service.count
        self.service.loop.step()
        self._check_interval(before)
        if self._is_free and not self.service.fault:
            assert self.service.count >= 1
        self._serve_held()

    @rule(fails=st.booleans())
    def metrics_fail(self, fails: bool) -> None:
        """Let the balancer fail, or respond again."""
        self.service.fault = BalancerFault("HAProxy does not respond") if fails else None

    @rule(count=st.integers(1, 30))
    def time_passes(self, count: int) -> None:
        """Let control intervals pass."""
        for _ in range(count):
            before, held = self.service.count, self.service.held
            self.service.tick()
            self._check_interval(before)
            if held and self._is_free and not self.service.fault:
                # Also a daemon that has just started, and one that missed the report.
                assert self.service.count >= 1
            self._serve_held()

    @rule(gap=st.integers(1, 100))
    def daemon_restarts(self, gap: int) -> None:
        """Let another daemon take over. The lock of the former one is gone with it."""
        self._held.close()
        self.service.clock.advance(gap * INTERVAL)
        self.service.restart()

    @precondition(lambda self: self._open is None)
    @rule()
    def deployment_begins(self) -> None:
        """Let a run deploy. It reads the number under the lock."""
        self._held.enter_context(self.service.lock.for_deployment())
        self._open = self.service.begin()
        # A release is tested with one replica.
        assert self._open[1] == max(1, self.service.count)

    @precondition(lambda self: self._open is not None)
    @rule(policy=st.none() | POLICIES, succeeds=st.booleans(), by_hand=st.none() | st.integers(1, 12))
    def deployment_ends(self, policy: str | None, succeeds: bool, by_hand: int | None) -> None:
        """Let the deployment succeed, also with a number of `pipeline scale`, or be rolled back or recovered."""
        assert self._open is not None
        row, count = self._open
        if succeeds:
            self._expected = by_hand or count
            self.service.finish(row, self._expected, policy)
        else:
            self.service.store.deployments.finish(row, DeploymentState.ROLLED_BACK)
        self._open = None
        self._held.close()

    @rule(suspends=st.booleans())
    def user_suspends_or_resumes(self, suspends: bool) -> None:
        """Suspend or resume scaling."""
        scaling = self.service.store.scaling
        (scaling.suspend if suspends else scaling.resume)(NAME, "web")

    @invariant()
    def each_change_has_an_event(self) -> None:
        """Each number that was stored was reported, and no other one is in the store."""
        if not hasattr(self, "service"):
            return
        assert len(self.service.heard("scaling.out", "scaling.in")) == len(self.service.changes)
        assert self.service.count == self._expected

    @property
    def _is_free(self) -> bool:
        """True if scaling may change the number."""
        return self._open is None and self.service.target.suspended_at is None

    def _serve_held(self) -> None:
        """Let the first replica become healthy, and get what was held."""
        if self.service.count:
            self.service.held = 0

    def _check_interval(self, before: int) -> None:
        service, changes = self.service, self.service.changes[self._seen_changes :]
        self._seen_changes += len(changes)
        assert len(changes) <= 1
        if self._open is not None or service.target.suspended_at is not None:
            assert changes == []
            return
        self._expected = changes[0] if changes else before
        policy = ScalingPolicy.model_validate_json(service.target.policy)
        assert policy.min <= service.count <= policy.max
        if service.count < before and service.count == 0:
            assert not service.requests
            assert not service.held


Machine.TestCase.settings = settings(max_examples=sampled(300), stateful_step_count=30, deadline=None)
TestMachine = Machine.TestCase
