"""The circuit breaker: new replicas that fail are replaced and counted, until there are too many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.balancer.model import TargetState
from pipeline.config.circuit_breaker import CircuitBreaker
from pipeline.testing.fakes.program import Program
from stages.deploy.decision import ContainerState, DesiredState, Replica, ReplicaFailure
from stages.deploy.executor import ReleaseFailed
from stages.deploy.rolling import decide
from tests.unit.deploy.rollouts import Rollouts, desired

CRASH = Program(lines=("no such table: users",), exit_code=3)
SECOND = timedelta(seconds=1)


def counting(threshold: int | None = 3, replicas: int = 3) -> DesiredState:
    return replace(desired(2, replicas), failure_threshold=threshold)


def new(name: str, **changes: object) -> Replica:
    started = Replica(name, "t2", ContainerState.RUNNING, TargetState.INITIAL, started_here=True)
    return replace(started, **changes)  # type: ignore[arg-type]


class Starts(dict[int, Program]):
    """The programs of release 2: one for each start, and then one that runs."""

    def __init__(self, *programs: Program) -> None:
        super().__init__()
        self.left = list(programs)

    def get(self, release: int, default: Program) -> Program:  # type: ignore[override]
        return self.left.pop(0) if release == 2 and self.left else default


@pytest.fixture
def web() -> Rollouts:
    """Three replicas of release 1."""
    found = Rollouts()
    found.serve_former()
    return found


@contextmanager
def failing(web: Rollouts) -> Iterator[list[str]]:
    """Yield a list that has the message of the failed rollout afterwards, in which names of replicas are numbers."""
    messages: list[str] = []
    with pytest.raises(ReleaseFailed) as error:
        yield messages
    text = error.value.message
    for number, name in enumerate(dict.fromkeys(web.kinds("container.started"))):
        text = text.replace(name, f"new{number + 1}")
    messages.append(text)


@pytest.mark.parametrize(
    ("written", "replicas", "limit"),
    [
        (True, 1, 3),
        ({}, 4, 3),
        ({}, 7, 4),
        ({}, 1000, 200),
        ({"threshold": "10%"}, 100, 10),
        ({"threshold": 1}, 10, 1),
        ({"threshold": 500}, 10, 500),
        (False, 10, None),
        ({"enable": False, "threshold": 5}, 10, None),
    ],
)
def test_a_percentage_has_the_bounds_of_ecs(written: object, replicas: int, limit: int | None) -> None:
    """Half of the replicas by default, rounded up, at least 3 and at most 200. A number counts as it is."""
    assert CircuitBreaker.model_validate(written).limit(replicas) == limit


def test_the_decision_replaces_a_failed_replica() -> None:
    """An exited replica is counted once, leaves, and another one starts beside the others."""
    dead = new("new0", container=ContainerState.EXITED)
    decision = decide((dead,), 0, counting())
    assert decision.counted == (ReplicaFailure("new0", "its container exited"),)
    assert [str(action.verb) for action in decision.actions] == ["deregister", "start", "start", "start"]
    again = decide((dead,), 0, counting(), failures=decision.counted)
    assert again.counted == ()
    assert again.failure is None


def test_the_decision_ends_at_the_threshold() -> None:
    """The third of three failures ends the rollout, also if it comes together with the second."""
    first = ReplicaFailure("new0", "its container exited")
    dead = [new(f"new{n}", container=ContainerState.EXITED) for n in (1, 2)]
    assert decide((dead[0],), 0, counting(), failures=(first,)).failure is None
    decision = decide(tuple(dead), 0, counting(), failures=(first,))
    assert decision.failure == ReplicaFailure("new1", "its container exited")
    assert [each.name for each in decision.counted] == ["new1", "new2"]
    assert decision.actions == ()


def test_a_failed_replica_counts_for_nothing_while_it_leaves() -> None:
    """One that became healthy after all, while it was being replaced, is not kept."""
    late = new("new0", target=TargetState.HEALTHY)
    kept = [new(f"new{n}", target=TargetState.HEALTHY, restart_policy_set=True) for n in (1, 2, 3)]
    decision = decide((late, *kept), 0, counting(), failures=(ReplicaFailure("new0", "it was not healthy"),))
    assert [(str(action.verb), action.name) for action in decision.actions] == [("deregister", "new0")]
    assert not decision.converged


def test_a_rollout_survives_fewer_failures(web: Rollouts) -> None:
    """Two crashes of three allowed ones are reported, and the release becomes active without a lost replica."""
    web.programs = Starts(CRASH, CRASH)
    web.to(2, counting())
    web.assert_serving(2)
    messages = [event.message for event in web.events if event.kind == "target.failed"]
    assert [text.partition("failed: ")[2] for text in messages] == [
        "its container exited with code 3; failure 1 of 3",
        "its container exited with code 3; failure 2 of 3",
    ]
    assert web.lowest_healthy == 3
    assert web.most_running <= 4


def test_the_threshold_ends_a_rollout(web: Rollouts) -> None:
    """The message has the count, the threshold and the last exits. No replica of the former release has left."""
    web.programs = Starts(*[CRASH] * 9)
    with failing(web) as messages:
        web.to(2, counting(4))
    assert messages == [
        "the circuit breaker ended it: 4 of 4 containers failed: new2: its container exited with code 3; "
        "new3: its container exited with code 3; new4: its container exited with code 3"
    ]
    assert web.lowest_healthy == 3
    assert [r.running for r in web.runtime.list("shop") if r.release == 1] == [True] * 3


def test_a_replica_that_stays_unhealthy_is_counted(web: Rollouts) -> None:
    """It is replaced after the time to become healthy, and the next one counts too."""
    web.sick.add(2)
    before = web.time.passed
    with failing(web) as messages:
        web.to(2, counting(2))
    assert messages[0].startswith("the circuit breaker ended it: 2 of 2 containers failed: new1: it was not healthy")
    assert 120 * SECOND < web.time.passed - before < 123 * SECOND


def test_without_it_the_first_failure_ends_a_rollout(web: Rollouts) -> None:
    """As ever, and its message does not speak of a circuit breaker."""
    web.programs = Starts(CRASH)
    with failing(web) as messages:
        web.to(2, counting(None))
    assert messages == ["new1 failed: its container exited with code 3"]
    assert web.kinds("target.failed") == []


def test_an_image_that_cannot_be_started_fails_at_once(web: Rollouts) -> None:
    """Another start would fail as well."""
    web.programs[2] = Program(refusal="exec /app: no such file or directory")
    with pytest.raises(Exception, match="no such file"):
        web.to(2, counting(9))
    assert len(web.kinds("container.starting")) == 1
