"""The controller: when it adds and removes replicas."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.scaling.bounds import bounds_at
from pipeline.scaling.controller import Decision, decide
from pipeline.scaling.observation import Observation, ScalingState
from pipeline.scaling.policy import ScalingPolicy
from tests.support.sample import sampled
from tests.unit.scaling.loop import HOUR, at, changes, follow, policy, seen

FRESH = ScalingState()
METRICS = ("requests", "connections", "cpu", "response_time")
TARGETS = {
    "requests_per_target": st.floats(0.1, 1e5),
    "connections": st.floats(0.1, 1e3),
    "cpu": st.floats(1, 100),
    "response_time_p90": st.integers(1, 5000).map("{}ms".format),
}


@st.composite
def policies(draw: st.DrawFn) -> ScalingPolicy:
    """Any valid policy with targets."""
    least = draw(st.integers(0, 500))
    actions = st.builds(
        lambda hour, low, more: {"cron": f"0 {hour} * * *", "min": low, "max": min(500, max(1, low + more))},
        st.integers(0, 23),
        st.integers(0, 500),
        st.integers(0, 500),
    )
    return ScalingPolicy.model_validate(
        {
            "min": least,
            "max": draw(st.integers(max(1, least), 500)),
            "target": draw(st.fixed_dictionaries({}, optional=TARGETS).filter(bool)),
            "scale_in": draw(st.sampled_from(["enabled", "disabled"])),
            "scale_out_cooldown": f"{draw(st.integers(0, 600))}s",
            "scale_in_cooldown": f"{draw(st.integers(0, 600))}s",
            "schedule": draw(st.lists(actions, max_size=3)),
        }
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    """Anything that may be observed within a day."""
    count = draw(st.integers(0, 500))
    serving = draw(st.integers(0, count))
    return seen(
        count,
        draw(st.integers(0, 86_400)),
        serving=serving,
        starting=draw(st.integers(0, count - serving)),
        deploying=draw(st.booleans()),
        requests=draw(st.none() | st.floats(0, 1e7)),
        connections=draw(st.none() | st.integers(0, 10**6)),
        cpu=draw(st.none() | st.floats(0, 100)),
        response_time=draw(st.none() | st.floats(0, 60)),
    )


@st.composite
def states(draw: st.DrawFn) -> ScalingState:
    """Any state, also one of another policy or number of replicas."""
    times = st.none() | st.integers(-1200, 86_400).map(at)
    return ScalingState(
        last_out=draw(times),
        low_since=draw(times),
        low_peak=draw(st.integers(0, 500)),
        too_much=draw(st.none() | st.floats(0.1, 1e6)),
    )


@settings(max_examples=sampled(1000))
@given(policies(), states(), observations())
def test_the_bounds_always_hold(chosen: ScalingPolicy, state: ScalingState, now: Observation) -> None:
    """The number is within the bounds in force. Only a deployment keeps a number above max, and never raises it."""
    bounds = bounds_at(chosen, now.at.wall)
    count = decide(chosen, state, now).count
    assert count >= bounds.least
    assert count <= bounds.most or (now.deploying and count == now.count)


@settings(max_examples=sampled(1000))
@given(policies(), states(), observations(), st.floats(1, 10))
def test_more_load_never_gives_fewer_replicas(
    chosen: ScalingPolicy, state: ScalingState, now: Observation, factor: float
) -> None:
    """From the same state, the number with higher metrics is at least that with lower ones."""
    chosen = chosen.model_copy(update={"scale_out_cooldown": min(chosen.scale_out_cooldown, chosen.scale_in_cooldown)})
    now = replace(now, **{name: 1.0 if getattr(now, name) is None else getattr(now, name) for name in METRICS})
    higher = replace(now, **{name: getattr(now, name) * factor for name in METRICS})
    higher = replace(higher, cpu=min(100.0, higher.cpu or 0))
    assert decide(chosen, state, higher).count >= decide(chosen, state, now).count


@settings(max_examples=sampled(1000))
@given(policies(), states(), observations())
def test_missing_metrics_change_nothing(chosen: ScalingPolicy, state: ScalingState, now: Observation) -> None:
    """Without metrics, the number changes only if it is outside the bounds."""
    blind = replace(now, **dict.fromkeys(METRICS))
    bounds = bounds_at(chosen, now.at.wall)
    held = max(bounds.least, now.count) if now.deploying else bounds.limit(now.count)
    assert decide(chosen, state, blind).count == held


@settings(max_examples=sampled(1000))
@given(policies(), states(), observations(), st.sampled_from(METRICS))
def test_one_missing_metric_prevents_scale_in(
    chosen: ScalingPolicy, state: ScalingState, now: Observation, name: str
) -> None:
    """If the metric of one target is missing, replicas are only removed because of max."""
    key = {"requests": "requests_per_target", "response_time": "response_time_p90"}.get(name, name)
    if getattr(chosen.target, key) is None:
        return
    # Without requests, a missing response time is no gap.
    now = replace(now, **({"requests": max(1.0, now.requests or 0)} | {name: None}))
    most = bounds_at(chosen, now.at.wall).most
    assert decide(chosen, state, now).count >= min(now.count, most)


@settings(max_examples=sampled(1000))
@given(policies(), states(), observations())
def test_a_deployment_is_never_disturbed(chosen: ScalingPolicy, state: ScalingState, now: Observation) -> None:
    """During a deployment no replica is removed, and the time without load starts again."""
    decision = decide(chosen, state, replace(now, deploying=True))
    assert decision.count >= now.count
    assert decision.state.low_since is None


@settings(max_examples=sampled(300))
@given(policies(), states(), observations())
def test_the_state_can_be_stored(chosen: ScalingPolicy, state: ScalingState, now: Observation) -> None:
    """The state is the same after it was written and read."""
    after = decide(chosen, state, now).state
    assert ScalingState.model_validate_json(after.model_dump_json()) == after


LINEAR: dict[str, dict[str, Any]] = {
    "requests": {"requests_per_target": 100},
    "connections": {"connections": 100},
    "cpu": {"cpu": 60},
}


@pytest.mark.parametrize("metric", LINEAR)
@settings(max_examples=sampled(200), deadline=None)
@given(load=st.floats(0, 9000), start=st.integers(1, 100))
def test_constant_load_leads_to_a_fixed_number(metric: str, load: float, start: int) -> None:
    """Under constant load the number is reached within an hour, is not left for another, and suffices."""

    def metrics(total: float, count: int) -> dict[str, float]:
        return {metric: min(100.0, 0.6 * total / count) if metric == "cpu" else total}

    counts = list(follow(policy(target=LINEAR[metric]), [load] * 2 * HOUR, metrics, start))
    assert set(counts[HOUR:]) == {counts[-1]}
    assert load <= 100 * counts[-1] * (1 + 1e-6)
    # The gap of a tenth, rounded up, and at least one replica.
    assert counts[-1] <= max(1, load / 90 + 1, start if start * 90 < load + 90 else 0)


@settings(max_examples=sampled(100), deadline=None)
@given(load=st.floats(1, 50_000), start=st.integers(1, 60), capacity=st.floats(600, 2000))
def test_constant_load_with_a_target_for_the_response_time(load: float, start: int, capacity: float) -> None:
    """The number is found in steps, and kept, although the response time rises steeply near the capacity."""

    def metrics(total: float, count: int) -> dict[str, float]:
        free = 1 - total / count / capacity
        return {"requests": total, "response_time": 0.1 / free if free > 0.002 else 50.0}

    chosen = policy(target={"response_time_p90": "400ms"}, max=500)
    counts = list(follow(chosen, [load] * 12 * HOUR, metrics, start))
    assert set(counts[10 * HOUR :]) == {counts[-1]}
    assert metrics(load, counts[-1])["response_time"] <= 0.4


@settings(max_examples=sampled(100), deadline=None)
@given(load=st.floats(50, 8000), seed=st.integers(0, 10**9))
def test_noise_causes_few_changes(load: float, seed: int) -> None:
    """With noise of ±20 %, at most 15 changes in the first hour from one replica, and at most 6 in the second."""
    noise = random.Random(seed)
    loads = [load * noise.uniform(0.8, 1.2) for _ in range(2 * HOUR)]
    counts = list(follow(policy(), loads, lambda total, _: {"requests": total}, 1))
    assert changes([1, *counts[:HOUR]]) <= 15
    assert changes(counts[HOUR:]) <= 6


def next_decision(before: Decision, chosen: ScalingPolicy, seconds: float, **fields: Any) -> Decision:
    """Return the decision that follows another one."""
    return decide(chosen, before.state, seen(before.count, seconds, **fields))


def test_out_at_once_and_in_after_the_cooldown() -> None:
    """A step out is immediate. A step in waits until the load was low for scale_in_cooldown without interruption."""
    chosen = policy()
    out = decide(chosen, FRESH, seen(2, requests=750))
    assert (out.count, out.reason) == (8, "requests_per_target: 750 in total, target 100 for each replica")
    low = next_decision(out, chosen, 100, requests=200)
    assert (low.count, low.reason) == (
        8,
        "scale-in cooldown; requests_per_target: 200 in total, target 100 for each replica",
    )
    peak = next_decision(low, chosen, 390, requests=500)
    assert peak.count == 8
    assert next_decision(peak, chosen, 399, requests=200).count == 8
    # 500 need 5.6 replicas at nine tenths of the target, although 200 need fewer by now.
    assert next_decision(peak, chosen, 400, requests=200).count == 6
    broken = next_decision(peak, chosen, 395, requests=790)
    assert next_decision(broken, chosen, 400, requests=200).count == 8


def test_the_scale_out_cooldown() -> None:
    """A second addition waits for scale_out_cooldown, and min does not."""
    chosen = policy(scale_out_cooldown="1m")
    out = decide(chosen, FRESH, seen(2, requests=300))
    held = next_decision(out, chosen, 59, requests=400)
    assert (held.count, held.reason) == (
        3,
        "scale-out cooldown; requests_per_target: 400 in total, target 100 for each replica",
    )
    assert next_decision(held, chosen, 60, requests=400).count == 4
    assert next_decision(out, policy(scale_out_cooldown="1m", min=5), 59, requests=300).count == 5


def test_starting_replicas_count() -> None:
    """Replicas that are starting are not added a second time, whatever the target."""
    for name, metrics in (
        ("requests_per_target", {"requests": 400}),
        ("connections", {"connections": 400}),
        ("cpu", {"cpu": 100}),
        ("response_time_p90", {"requests": 400, "response_time": 9}),
    ):
        chosen = policy(target={name: "1s" if name == "response_time_p90" else 100})
        decision = decide(chosen, FRESH, seen(4, serving=2, starting=2, **metrics))
        assert decision.count == 4, name


def test_the_target_that_needs_most_decides() -> None:
    """Of several targets, the largest number counts, in both directions."""
    chosen = policy(target={"requests_per_target": 100, "cpu": 50}, scale_in_cooldown="0s")
    assert decide(chosen, FRESH, seen(4, requests=100, cpu=99)).count == 8
    assert decide(chosen, FRESH, seen(4, requests=700, cpu=1)).count == 7
    assert decide(chosen, FRESH, seen(4, requests=100, cpu=25)).count == 3


def test_a_queue_at_most_doubles_the_replicas() -> None:
    """Connections that wait say that replicas are missing, and not how many."""
    chosen = policy(target={"connections": 10})
    assert decide(chosen, FRESH, seen(4, connections=10_000)).count == 8
    assert decide(chosen, FRESH, seen(8, serving=4, starting=4, connections=10_000)).count == 8


def test_scale_to_zero_and_back() -> None:
    """With min 0, all replicas go after the idle time without requests, and the first request starts one at once."""
    chosen = policy(min=0, target={"requests_per_target": 100, "cpu": 50, "response_time_p90": "1s"})
    idle = decide(chosen, FRESH, seen(1, requests=0, connections=0, cpu=0.2))
    assert idle.count == 1
    assert next_decision(idle, chosen, 300, requests=0.5, connections=0, cpu=0.2, response_time=0.1).count == 1
    assert next_decision(idle, chosen, 299, requests=0, connections=0, cpu=0.2).count == 1
    gone = next_decision(idle, chosen, 300, requests=0, connections=0, cpu=0.2)
    assert (gone.count, gone.reason) == (0, "no requests for 5m")
    unused = next_decision(gone, chosen, 301, requests=0, connections=0)
    assert (unused.count, unused.reason) == (0, "no requests")
    woken = next_decision(unused, chosen, 302, held=1)
    assert (woken.count, woken.reason) == (1, "the first request")
    assert next_decision(gone, chosen, 302, requests=350).count == 4


@pytest.mark.parametrize("metrics", [{"requests": None}, {"requests": 1}, {"connections": 1}, {"held": 1}])
def test_only_certain_idleness_leads_to_zero(metrics: dict[str, float | None]) -> None:
    """A request, a WebSocket, a held request and an unknown metric begin the idle time anew."""
    chosen = policy(min=0, idle_time="1m")
    idle = decide(chosen, FRESH, seen(1, requests=0, connections=0))
    busy = next_decision(idle, chosen, 45, **{"requests": 0, "connections": 0, **metrics})
    again = next_decision(busy, chosen, 60, requests=0, connections=0)
    assert (busy.count, again.count) == (1, 1)
    assert next_decision(again, chosen, 119, requests=0, connections=0).count == 1
    assert next_decision(again, chosen, 120, requests=0, connections=0).count == 0


def test_idle_time_alone_decides_about_zero() -> None:
    """A policy needs no target for it, and several replicas go at once. With scale_in disabled, none goes."""
    chosen = policy(min=0, target=None, idle_time="15s")
    idle = decide(chosen, FRESH, seen(3, requests=0, connections=0))
    assert idle.count == 3
    assert next_decision(idle, chosen, 15, requests=0, connections=0).count == 0
    kept = policy(min=0, target=None, idle_time="15s", scale_in="disabled")
    assert next_decision(idle, kept, 15, requests=0, connections=0).count == 3


def test_a_schedule_holds_zero_off() -> None:
    """While the schedule sets a higher min, the service has it without requests, too."""
    chosen = policy(
        min=0, idle_time="15s", schedule=[{"cron": "0 13 * * *", "min": 2}, {"cron": "0 1 * * *", "min": 0}]
    )
    gone = decide(chosen, ScalingState(idle_since=at(0)), seen(1, 30, requests=0, connections=0))
    assert gone.count == 0
    assert next_decision(gone, chosen, 3600, requests=0, connections=0).count == 2


def test_above_zero() -> None:
    """A release that holds no requests always has a replica, whatever the policy says."""
    chosen = policy(min=0, schedule=[{"cron": "0 11 * * *", "min": 0, "max": 5}]).above_zero()
    assert (chosen.lowest, chosen.schedule[0].max) == (1, 5)
    assert policy(min=2).above_zero() == policy(min=2)


def test_disabled_scale_in() -> None:
    """With scale_in disabled, only max removes replicas."""
    chosen = policy(scale_in="disabled", scale_in_cooldown="0s", max=6)
    held = decide(chosen, FRESH, seen(4, requests=0))
    assert (held.count, held.reason) == (4, "scale-in is disabled")
    lowered = decide(chosen, FRESH, seen(9, requests=0))
    assert (lowered.count, lowered.reason) == (6, "max is 6")


def test_the_bounds_are_reasons() -> None:
    """A number that a bound decides has the bound as its reason."""
    chosen = policy(min=2, max=5)
    assert decide(chosen, FRESH, seen(1)).reason == "min is 2"
    full = decide(chosen, FRESH, seen(3, requests=900))
    assert (full.count, full.reason) == (5, "requests_per_target: 900 in total, target 100 for each replica, max 5")
    assert decide(chosen, FRESH, seen(3)).reason == "requests_per_target is unknown"


def test_the_schedule_alone() -> None:
    """A policy without target follows its schedule."""
    day, night = {"cron": "0 11 * * *", "min": 4, "max": 9}, {"cron": "0 20 * * *", "min": 1, "max": 3}
    chosen = policy(target=None, schedule=[day, night])
    assert decide(chosen, FRESH, seen(1)).count == 4
    assert decide(chosen, FRESH, seen(9)).count == 9
    assert decide(chosen, FRESH, seen(9, 9 * 3600)).count == 3


def test_a_missed_response_time_is_remembered() -> None:
    """The load per replica that was too much is not tried again, until a deployment."""
    chosen = policy(target={"response_time_p90": "1s"}, scale_in_cooldown="0s")
    out = decide(chosen, FRESH, seen(4, requests=1000, response_time=1.2))
    assert (out.count, out.state.too_much) == (5, 250)
    quick = next_decision(out, chosen, 30, requests=1000, response_time=0.3)
    assert quick.count == 5
    assert next_decision(quick, chosen, 60, requests=800, response_time=0.3).count == 4
    deployed = next_decision(quick, chosen, 60, requests=1000, response_time=0.3, deploying=True)
    assert deployed.state.too_much is None
    assert next_decision(deployed, chosen, 90, requests=1000, response_time=0.3).count == 4


def test_a_backlog_teaches_nothing() -> None:
    """A miss soon after an addition adds replicas, but is not remembered: it may be what had waited before."""
    chosen = policy(target={"response_time_p90": "1s"})
    out = decide(chosen, FRESH, seen(1, requests=1000, response_time=30))
    again = next_decision(out, chosen, 30, requests=1000, response_time=30)
    assert (again.count, again.state.too_much) == (4, 1000)


def test_a_number_lowered_by_a_user_is_not_raised_by_scale_in() -> None:
    """If a user lowers the number during the cooldown, the former peak is forgotten."""
    chosen = policy()
    low = decide(chosen, FRESH, seen(10, requests=550))
    lowered = decide(chosen, low.state, seen(5, 300, requests=200))
    assert lowered.count == 5
    assert next_decision(lowered, chosen, 600, requests=200).count == 3
