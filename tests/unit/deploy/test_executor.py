"""The executor of a rollout, against a runtime and a balancer in memory."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.balancer.model import Target, TargetState
from pipeline.base.errors import BalancerFault, Cancelled, EngineFault, StageFailed, SystemFault
from pipeline.engine.runtime import RestartPolicy
from pipeline.events import Event
from pipeline.testing.fakes.program import Program
from stages.deploy.decision import DesiredState, Observation, ReplicaFailure, RolloutDecision
from stages.deploy.executor import ReleaseFailed
from stages.deploy.rolling import RollingStrategy
from tests.support.sample import sampled
from tests.support.waiting import DEADLINE, until
from tests.unit.deploy.rollouts import Rollouts, desired

RUNTIME_CALLS = ("list", "start", "set_restart_policy", "stop", "remove")
BALANCER_CALLS = ("target_health", "register", "deregister", "remove_target")
SECOND = timedelta(seconds=1)


@pytest.fixture
def web() -> Rollouts:
    """A service whose release 1 is active with three replicas."""
    web = Rollouts()
    web.serve_former()
    return web


def await_observations(web: Rollouts, count: int = 5) -> None:
    """Let the rollout observe a few more times."""
    seen = web.runtime.faults.calls["list"]
    until(lambda: web.runtime.faults.calls["list"] >= seen + count, "further observations")


def test_the_first_release_starts_all_its_replicas() -> None:
    """As far as the surge allows, at once."""
    web = Rollouts()
    web.to(1, desired(1, replicas=3, surge=3))
    web.assert_serving(1)


def test_a_release_replaces_the_former_one_for_one(web: Rollouts) -> None:
    """A former replica is drained only after a new one is healthy, then stopped and removed."""
    web.to(2)
    web.assert_serving(2)
    assert web.names(1) == []
    order = {(event.kind, event.fields.get("target")): number for number, event in enumerate(web.events)}
    for new, old in zip(web.kinds("container.starting"), web.kinds("target.draining"), strict=True):
        steps = [
            ("container.starting", new),
            ("container.started", new),
            ("target.registered", new),
            ("target.healthy", new),
            ("target.draining", old),
            ("container.stopping", old),
            ("container.stopped", old),
            ("container.removed", old),
        ]
        assert [order[step] for step in steps] == sorted(order[step] for step in steps)


@pytest.mark.parametrize(
    ("surge", "unavailable", "min_healthy", "max_running"),
    [(1, 0, 3, 4), (0, 1, 2, 3), (3, 0, 3, 6), (0, 2, 1, 3), (2, 1, 2, 5)],
)
def test_a_rollout_keeps_to_its_limits(
    web: Rollouts, surge: int, unavailable: int, min_healthy: int, max_running: int
) -> None:
    """It never has fewer healthy replicas than the minimum or more running ones than the maximum, and uses both."""
    web.to(2, desired(2, surge=surge, unavailable=unavailable))
    web.assert_serving(2)
    assert (web.lowest_healthy, web.most_running) == (min_healthy, max_running)


def test_new_replicas_are_named_after_their_service_and_release(web: Rollouts) -> None:
    """Those of an earlier version keep their names until they are replaced."""
    for name in web.names(1):
        assert re.fullmatch(r"shop\.web\.r1\.[0-9a-f]{6}", name)


def test_events_name_the_release_and_the_healthy_targets(web: Rollouts) -> None:
    """The started replica is of the new release, the drained one of the former."""
    web.to(2)
    releases = {
        kind: {event.fields["release"] for event in web.events if event.kind == kind}
        for kind in ("container.starting", "container.started", "target.healthy", "target.draining")
    }
    assert releases == {
        "container.starting": {2},
        "container.started": {2},
        "target.healthy": {2},
        "target.draining": {1},
    }
    assert {event.fields["healthy"] for event in web.events if event.kind == "target.draining"} == {4}


def test_a_changed_count_keeps_the_replicas_of_the_same_template(web: Rollouts) -> None:
    """More are started, or some of those that are too many leave."""
    before = set(web.names(1))
    web.to(1, desired(1, replicas=5))
    web.assert_serving(1, 5)
    assert before < set(web.names(1))
    web.to(1, desired(1, replicas=2))
    web.assert_serving(1, 2)


def test_down_drains_and_removes_everything(web: Rollouts) -> None:
    """No target and no replica is left."""
    web.down()
    assert web.runtime.list("shop") == ()
    assert web.balancer.states() == {}
    assert len(web.kinds("target.draining")) == 3


def test_a_target_is_stopped_when_its_last_request_is_done(web: Rollouts) -> None:
    """Not before, and without waiting for its delay."""
    for name in web.names(1):
        web.balancer.in_flight[name] = 2
    before = web.time.passed
    web.time.after(12, web.balancer.in_flight.clear)
    web.to(2)
    web.assert_serving(2)
    assert 12 * SECOND <= web.time.passed - before < 13 * SECOND
    assert web.balancer.aborted == []
    assert "gets no more requests, 2 in flight" in next(e.message for e in web.events if e.kind == "target.draining")


def test_a_replica_that_already_drains_is_notified(web: Rollouts) -> None:
    """The process that deregistered it may have been killed before it sent the notice. An idle one is stopped."""
    busy, idle, _ = web.names(1)
    web.balancer.in_flight[busy] = 2
    for name in (busy, idle):
        web.balancer.deregister("shop", "web", name)
    web.time.after(3, web.balancer.in_flight.clear)
    web.to(1)
    assert set(web.notified) == {busy}


def test_events_of_a_worker_name_no_requests() -> None:
    """A service without a target group gets none, so none are drained."""
    worker = Rollouts()
    worker.group = ""
    worker.to(1, desired(1, replicas=1))
    worker.to(2, desired(2, replicas=1))
    old, new = (worker.kinds("container.starting")[index] for index in (0, 1))
    told = {"target.healthy", "target.draining", "container.stopping"}
    messages = [event.message for event in worker.events if event.kind in told]
    assert messages == [
        f"{old} is healthy",
        f"{new} is healthy",
        f"{old} is taken out of service",
        f"{old} stopping",
    ]


def test_requests_are_aborted_when_the_delay_is_over(web: Rollouts) -> None:
    """Once for each target, which is stopped right after."""
    web.balancer.in_flight.update(web.names(1))
    before = web.time.passed
    web.to(2, desired(2, surge=3))
    web.assert_serving(2)
    assert 30 * SECOND <= web.time.passed - before < 31 * SECOND
    messages = [event.message for event in web.events if event.kind == "target.requests_aborted"]
    assert len(messages) == len(set(web.balancer.aborted)) == 3
    assert all("deregistration delay of 30 s expired, aborted 1 in flight" in message for message in messages)


def test_a_request_that_cannot_be_aborted_does_not_hold_up_the_rollout(web: Rollouts) -> None:
    """Its target is stopped two seconds later."""
    hanging = web.names(1)[0]
    web.balancer.in_flight[hanging] = 1
    web.balancer.endless.add(hanging)
    before = web.time.passed
    web.to(2)
    web.assert_serving(2)
    assert 32 * SECOND <= web.time.passed - before < 33 * SECOND
    assert web.kinds("target.requests_aborted") == [hanging]


def test_a_container_that_exits_before_it_is_healthy_fails_the_release(web: Rollouts) -> None:
    """With its exit code and its last lines. It is not restarted, and the former release is not touched."""
    web.programs[2] = Program(lines=("no such table: users",), exit_code=3)
    with pytest.raises(ReleaseFailed, match="its container exited with code 3") as error:
        web.to(2)
    assert error.value.tail == ("no such table: users",)
    (failed,) = web.names(2)
    end = web.runtime.ended(failed)
    assert end is not None
    assert end.restarts == 0
    assert [replica.running for replica in web.runtime.list("shop") if replica.release == 1] == [True] * 3
    assert web.lowest_healthy == 3
    assert web.kinds("target.draining") == []


def test_a_container_that_needs_too_much_memory_says_so(web: Rollouts) -> None:
    """In the configuration's words."""
    web.sick.add(2)
    web.time.after(1, lambda: web.runtime.exit(web.names(2)[0], 137, oom_killed=True))
    with pytest.raises(ReleaseFailed, match=r"it used more memory than deploy\.memory allows"):
        web.to(2)


def test_a_container_that_is_removed_by_another_program_is_replaced(web: Rollouts) -> None:
    """Its target is removed, and it is no failure of the release."""
    removed: list[str] = []

    def remove() -> None:
        removed.extend(web.names(2))
        web.runtime.forget(removed[0])

    web.sick.add(2)
    web.time.after(1, remove)
    web.time.after(2, web.sick.clear)
    web.to(2)
    web.assert_serving(2)
    assert removed[0] not in web.names(2)


@pytest.mark.parametrize("exits", [True, False], ids=["exits", "keeps running"])
def test_a_release_that_lacks_a_capability_hints_at_its_key(web: Rollouts, *, exits: bool) -> None:
    """The hint comes from the container's output, whether its program exits or never listens."""
    web.programs[2] = Program(lines=("chown: Operation not permitted",), exit_code=1 if exits else None)
    web.sick.add(2)
    with pytest.raises(ReleaseFailed) as error:
        web.to(2)
    assert error.value.hint == "if it needs a capability that its container does not have, name it in deploy.cap_add"


def test_a_release_that_cannot_be_started_without_a_capability_hints_at_its_key(web: Rollouts) -> None:
    """A file with capabilities that its container does not have cannot be executed."""
    web.programs[2] = Program(refusal="exec /app: operation not permitted")
    with pytest.raises(StageFailed) as error:
        web.to(2)
    assert error.value.hint == "if it needs a capability that its container does not have, name it in deploy.cap_add"


def test_a_release_that_does_not_become_healthy_fails_after_its_timeout(web: Rollouts) -> None:
    """It is reported once while it is awaited, and the error says what to look at."""
    web.sick.add(2)
    before = web.time.passed
    with pytest.raises(ReleaseFailed, match="it was not healthy for 60 s: Health checks failed") as error:
        web.to(2)
    assert 60 * SECOND < web.time.passed - before < 61 * SECOND
    assert "0.0.0.0" in (error.value.hint or "")
    assert web.kinds("target.not_healthy") == web.names(2)
    assert web.lowest_healthy == 3


def test_a_target_that_was_never_healthy_is_not_said_to_get_no_more_requests(web: Rollouts) -> None:
    """A release that did not become healthy is deregistered without a request."""
    web.sick.add(2)
    with pytest.raises(ReleaseFailed):
        web.to(2)
    new = web.names(2)
    web.to(1)
    told = {event.fields["target"]: event.message for event in web.events if event.kind == "target.draining"}
    assert [told[name] for name in new] == [f"{name} deregistered before it got a request" for name in new]


def test_an_image_that_cannot_be_started_fails_the_release(web: Rollouts) -> None:
    """Nothing of it is left."""
    web.programs[2] = Program(refusal="gunicorn: not found")
    with pytest.raises(StageFailed, match="gunicorn: not found"):
        web.to(2)
    assert web.names(2) == []
    web.to(1)
    web.assert_serving(1)


def test_a_failed_release_is_replaced_by_the_former_again(web: Rollouts) -> None:
    """The broken replica leaves, and no former one is restarted."""
    former = set(web.names(1))
    web.programs[2] = Program(exit_code=1)
    with pytest.raises(ReleaseFailed):
        web.to(2)
    web.to(1)
    web.assert_serving(1)
    assert set(web.names(1)) == former


def test_a_former_replica_that_dies_during_the_rollout_is_no_failure(web: Rollouts) -> None:
    """It is reported, and the rollout goes on with what is left."""
    web.runtime.policies.clear()
    web.sick.add(2)
    victim = web.names(1)[0]
    web.runtime.set_restart_policy(victim, RestartPolicy.NO)
    web.time.after(1, lambda: web.runtime.exit(victim, 1))
    web.time.after(2, web.sick.clear)
    web.to(2)
    web.assert_serving(2)
    assert web.kinds("target.unhealthy") == [victim]


def test_the_restart_policy_is_set_when_a_replica_is_healthy(web: Rollouts) -> None:
    """Until then its exit is what fails the release."""
    web.sick.add(2)
    seen: list[bool] = []
    web.time.after(3, lambda: seen.append(any(name in web.runtime.policies for name in web.names(2))))
    web.time.after(4, web.sick.clear)
    web.to(2, restart=RestartPolicy.ON_FAILURE)
    assert seen == [False]
    assert {name: web.runtime.policies[name] for name in web.names(2)} == dict.fromkeys(
        web.names(2), RestartPolicy.ON_FAILURE
    )


def test_a_healthy_replica_that_is_restarted_does_not_fail_the_release(web: Rollouts) -> None:
    """The runtime brings it back, so the rollout waits for it."""
    web.balancer.in_flight.update(web.names(1))
    web.time.after(5, lambda: web.runtime.exit(web.names(2)[0], 1))
    web.to(2)
    web.assert_serving(2)
    assert sum(end.restarts for name in web.names(2) if (end := web.runtime.ended(name))) == 1


@pytest.mark.parametrize("lost", [False, True], ids=["refused", "answer lost"])
@pytest.mark.parametrize("call", RUNTIME_CALLS)
def test_a_fault_of_the_engine_ends_the_rollout_and_the_next_one_continues(
    web: Rollouts, call: str, lost: bool
) -> None:
    """In either direction, whether the engine did what it was asked or not."""
    for release, fallback in ((2, 1), (3, 3)):
        if lost:
            web.runtime.faults.lose_answer(call)
        else:
            web.runtime.faults.fail(call, EngineFault("away"))
        with pytest.raises(EngineFault):
            web.to(release)
        web.to(fallback)
        web.assert_serving(fallback)
        assert web.lowest_healthy >= 3


@pytest.mark.parametrize("call", BALANCER_CALLS)
def test_a_fault_of_the_balancer_ends_the_rollout_and_the_next_one_continues(web: Rollouts, call: str) -> None:
    """Nothing is stopped that may still get requests."""
    web.balancer.fail(call, BalancerFault("HAProxy does not answer"))
    with pytest.raises(BalancerFault):
        web.to(2)
    web.to(1)
    web.assert_serving(1)


def test_an_engine_that_is_killed_during_a_rollout(web: Rollouts) -> None:
    """The rollout ends. After the engine is back, the former release can be put back."""
    web.sick.add(2)
    web.time.after(2, web.runtime.kill_daemon)
    with pytest.raises(EngineFault):
        web.to(2)
    web.runtime.start_daemon()
    web.to(1)
    web.assert_serving(1)


def test_cancelling_ends_the_rollout_where_it_is(web: Rollouts) -> None:
    """The former release has lost nothing, and can be put back."""
    cancelled = threading.Event()
    web.sick.add(2)
    web.time.after(10, cancelled.set)
    with pytest.raises(Cancelled):
        web.to(2, cancelled=cancelled)
    assert web.lowest_healthy == 3
    web.to(1)
    web.assert_serving(1)


def test_an_unexpected_error_after_the_last_decision_is_raised(web: Rollouts) -> None:
    """Such as one of a listener that hears late of the last removal."""
    converged = threading.Event()

    class Watched(RollingStrategy):
        def decide(self, seen: Observation, desired: DesiredState) -> RolloutDecision:
            decision = super().decide(seen, desired)
            if decision.converged:
                converged.set()
            return decision

    class Late(list[Event]):
        def append(self, event: Event) -> None:
            if event.kind == "container.removed":
                assert converged.wait(DEADLINE)
                raise ZeroDivisionError

    web.events = Late()
    with pytest.raises(ZeroDivisionError):
        web.to(1, desired(1, replicas=2), strategy=Watched())


def test_cancelling_waits_for_a_start_that_is_in_progress(web: Rollouts) -> None:
    """So no replica appears after the rollout has ended."""
    cancelled, hang = threading.Event(), web.runtime.faults.hang("start")
    with ThreadPoolExecutor(1) as pool:
        rollout = pool.submit(web.to, 2, cancelled=cancelled)
        hang.wait_until_called()
        cancelled.set()
        assert not rollout.done()
        hang.release()
        assert isinstance(rollout.exception(10), Cancelled)
    (left,) = web.names(2)
    assert left not in web.balancer.states()
    web.to(1)
    web.assert_serving(1)


def test_a_start_that_hangs_keeps_the_former_replicas_in_service(web: Rollouts) -> None:
    """Nothing is drained for a replica that is not there, and no further one is started beyond the limit."""
    hang = web.runtime.faults.hang("start")
    with ThreadPoolExecutor(1) as pool:
        rollout = pool.submit(web.to, 2, desired(2, surge=2))
        hang.wait_until_called(2)
        assert web.balancer.states() == dict.fromkeys(web.names(1), TargetState.HEALTHY)
        assert len(web.runtime.running) == 3
        hang.release()
        rollout.result(DEADLINE)
    web.assert_serving(2)
    assert web.most_running <= 5


def test_a_replica_whose_start_has_not_returned_counts_as_starting(web: Rollouts) -> None:
    """Though it runs already: it is neither registered nor started twice."""
    hang = web.runtime.faults.hang("start", late=True)
    with ThreadPoolExecutor(1) as pool:
        rollout = pool.submit(web.to, 2)
        hang.wait_until_called()
        await_observations(web)
        assert len(web.runtime.running) == 4
        assert len(web.balancer.states()) == 3
        hang.release()
        rollout.result(DEADLINE)
    web.assert_serving(2)
    assert web.most_running == 4


def test_a_stop_that_hangs_is_not_repeated(web: Rollouts) -> None:
    """The rollout waits for it and continues."""
    hang = web.runtime.faults.hang("stop")
    with ThreadPoolExecutor(1) as pool:
        rollout = pool.submit(web.to, 2)
        hang.wait_until_called()
        await_observations(web)
        assert hang.waiting == 1
        hang.release()
        rollout.result(DEADLINE)
    web.assert_serving(2)


def test_a_replica_that_is_found_unhealthy_has_time_to_recover(web: Rollouts) -> None:
    """It is replaced when it has been unhealthy for longer than the patience, and kept if it recovers before."""
    wanted = replace(desired(1), unhealthy_timeout=10 * SECOND)
    recovering, sick, _ = web.names(1)
    for name, recovers in ((recovering, True), (sick, False)):
        web.sick.add(name)
        if recovers:
            web.time.after(5, web.sick.clear)
        before = web.time.passed
        web.to(1, wanted)
        web.assert_serving(1)
        assert (name in web.names(1)) is recovers
        assert web.time.passed - before >= (5 if recovers else 10) * SECOND


def test_a_replica_that_a_killed_process_started_is_taken_over(web: Rollouts) -> None:
    """It is registered and counts as one of the wanted ones."""
    stray = web.start_stray(2)
    web.to(2)
    web.assert_serving(2)
    assert stray in web.names(2)


def test_a_target_without_a_replica_is_removed(web: Rollouts) -> None:
    """As after a container was removed by hand."""
    web.runtime.forget(web.names(1)[0])
    web.to(1)
    web.assert_serving(1)


def test_replicas_of_an_earlier_version_are_replaced(web: Rollouts) -> None:
    """Whatever their names are. They are registered at the port of their target group, which they do not name."""
    web.runtime.start(replace(web.spec(1, "t1"), name="shop.r1.bbbbbb", port=0))
    web.to(1, desired(1, replicas=4))
    web.assert_serving(1, 4)
    health = web.balancer.target_health("shop", "web")
    assert {h.target.port for h in health if h.target.id == "shop.r1.bbbbbb"} == {8080}
    web.to(2)
    web.assert_serving(2)


def test_replicas_of_another_service_are_left_alone(web: Rollouts) -> None:
    """They are of the same pipeline and not of this rollout."""
    web.runtime.start(replace(web.spec(1, "t1"), name="shop.worker.r1.cccccc", service="worker"))
    web.to(2)
    assert "shop.worker.r1.cccccc" in web.runtime.running
    assert "shop.worker.r1.cccccc" not in web.balancer.states()


def test_a_target_whose_replica_has_another_address_is_found(web: Rollouts) -> None:
    """As after a container was moved to another network."""
    moved = web.names(1)[0]
    web.balancer.register("shop", "web", Target(id=moved, address="192.0.2.1", port=8080))
    replicas = web.replica_set()
    replicas.observe()
    assert replicas.with_stale_address() == [moved]


def test_the_reason_of_a_replica_that_is_gone(web: Rollouts) -> None:
    """Its exit code is unknown."""
    assert web.replica_set().exit_reason("shop.web.r2.dddddd") == "its container was removed"


@settings(max_examples=sampled(40), deadline=None)
@given(
    faults=st.lists(st.tuples(st.sampled_from(RUNTIME_CALLS), st.integers(0, 8), st.booleans()), max_size=4),
    surge=st.integers(0, 2),
    unavailable=st.integers(0, 1),
    sick=st.booleans(),
)
def test_whatever_fails_no_request_is_lost_and_the_next_rollout_succeeds(
    faults: list[tuple[str, int, bool]], surge: int, unavailable: int, sick: bool
) -> None:
    """Several faults in any places, a release that may not work, and requests in flight all the time."""
    web = Rollouts()
    web.serve_former()
    web.balancer.in_flight.update(web.names(1))
    web.time.after(3, web.balancer.in_flight.clear)
    if sick:
        web.sick.add(2)
    wanted = desired(2, surge=max(surge, 1 - unavailable), unavailable=unavailable)
    wanted = replace(wanted, deploy_timeout=4 * SECOND)
    for call, position, lost in faults:
        if lost:
            web.runtime.faults.lose_answer(call, after=position)
        else:
            web.runtime.faults.fail(call, EngineFault("away"), after=position)
        with suppress(SystemFault, ReleaseFailed):
            web.to(2, wanted)
    web.runtime.faults.clear()
    if sick:
        with pytest.raises(ReleaseFailed):
            web.to(2, wanted)
    release = 1 if sick else 2
    web.to(release, replace(wanted, template=f"t{release}"))
    web.assert_serving(release)
    assert web.lowest_healthy >= wanted.min_healthy
    assert web.most_running <= wanted.max_running


class RefusingStrategy:
    """A strategy that finds every release broken."""

    def decide(self, seen: Observation, desired: DesiredState) -> RolloutDecision:
        """Blame the first replica."""
        return RolloutDecision(failure=ReplicaFailure(seen.replicas[0].name, "refused by the strategy"))


def test_the_executor_carries_out_what_the_strategy_decides(web: Rollouts) -> None:
    """And nothing else: the release fails as the strategy says, and no replica is touched."""
    before = web.names(1)
    with pytest.raises(ReleaseFailed, match="refused by the strategy"):
        web.to(2, strategy=RefusingStrategy())
    assert (web.names(1), web.names(2)) == (before, [])


def test_a_replica_whose_start_has_not_returned_is_counted_once(web: Rollouts) -> None:
    """As starting, though the runtime lists it already."""
    replicas = web.replica_set()
    name = replicas.reserve(2)
    hang = web.runtime.faults.hang("start", late=True)
    thread = threading.Thread(target=replicas.start, args=(name, web.spec(2, "t2")))
    thread.start()
    hang.wait_until_called()
    try:
        assert name in web.names(2)
        seen = replicas.observe()
        assert seen.starting == 1
        assert name not in {replica.name for replica in seen.replicas}
    finally:
        hang.release()
        thread.join()
    seen = replicas.observe()
    assert seen.starting == 0
    assert name in {replica.name for replica in seen.replicas}


def test_a_replica_that_needs_sigkill_is_reported(web: Rollouts) -> None:
    """The event says that the program ignored SIGTERM, with its exit code, and what to do."""
    web.programs[1] = Program(on_sigterm=None)
    web.to(1, desired(1, replicas=4))
    web.to(2, desired(2, replicas=4))
    stopped = [event.message for event in web.events if event.kind == "container.stopped"]
    killed = [text for text in stopped if "was killed" in text]
    assert len(killed) == 1
    assert "of SIGTERM (exit code 137); write CMD as a list" in killed[0]


@pytest.mark.parametrize("code", [400, 403, 421])
def test_a_refused_host_is_reported_early(web: Rollouts, code: int) -> None:
    """A check that gets such a code is reported with a hint about health_check.host, long before the timeout."""
    web.sick.add(2)
    web.balancer.check_result = f"Health checks failed with these codes: [{code}]"
    with pytest.raises(ReleaseFailed) as failed:
        web.to(2)
    assert "set health_check.host" in (failed.value.hint or "")
    first = next(event for event in web.events if event.kind == "target.not_healthy")
    assert f"[{code}]; the application may refuse the Host header" in first.message


def test_a_missing_page_hints_at_the_path(web: Rollouts) -> None:
    """A check that gets 404 fails with a hint about health_check.path."""
    web.sick.add(2)
    web.balancer.check_result = "Health checks failed with these codes: [404]"
    with pytest.raises(ReleaseFailed) as failed:
        web.to(2)
    assert "set health_check.path" in (failed.value.hint or "")


def test_another_code_says_nothing_of_hosts(web: Rollouts) -> None:
    """A 503 has nothing to do with the Host header."""
    web.sick.add(2)
    web.balancer.check_result = "Health checks failed with these codes: [503]"
    with pytest.raises(ReleaseFailed) as failed:
        web.to(2)
    assert failed.value.hint is None
