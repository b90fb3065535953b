"""The end of a deployment before its time: by a cancelled run, or by `pipeline abort`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.api import StageContext
from pipeline.base.errors import Cancelled, RolledBack, StageFailed, StoreFault
from pipeline.config.release import ReleaseSpec
from pipeline.runner.deployment_answer import abort
from pipeline.store.records import Deployment, DeploymentState
from pipeline.testing.fakes.clock import FakeClock
from stages.deploy.interruption import Interruption
from tests.support.waiting import DEADLINE, SOON
from tests.unit.deploy.deployments import Service, deploy, last, states


@pytest.fixture
def row(context: StageContext) -> Deployment:
    """A deployment in progress."""
    return context.store.deployments.begin("shop", 1, None, 1)


def test_it_is_set_by_a_cancelled_run(context: StageContext, row: Deployment) -> None:
    """At once, also while a thread waits."""
    interruption = Interruption.of(context, row)
    assert not interruption.is_set()
    assert not interruption.wait(0.01)
    threading.Timer(0.05, context.cancelled.set).start()
    assert interruption.wait(DEADLINE)
    assert interruption.is_cancelled
    assert interruption.abort is None


def test_it_is_set_by_an_abort(context: StageContext, row: Deployment) -> None:
    """Soon, by an order that another process stores. It names the user."""
    interruption = Interruption.of(context, row)
    assert not interruption.is_set()
    threading.Timer(0.05, lambda: context.store.deployment_answers.abort(row.id, "ann")).start()
    began = time.monotonic()
    assert interruption.wait()
    assert time.monotonic() - began < SOON
    assert not interruption.is_cancelled
    assert interruption.abort is not None
    assert interruption.abort.by == "ann"


def test_the_store_is_asked_twice_a_second(context: StageContext, row: Deployment) -> None:
    """However often it is read."""
    clock = FakeClock()
    interruption = Interruption.of(replace(context, clock=clock), row)
    assert not interruption.is_set()
    context.store.deployment_answers.abort(row.id, "ann")
    assert not interruption.is_set()
    clock.advance(timedelta(seconds=0.5))
    assert interruption.is_set()


def test_a_fault_of_the_store_interrupts_nothing(
    context: StageContext, row: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock of the database passes, and the next look finds the order."""
    clock, asked = FakeClock(), list[int]()

    def aborted(deployment: int) -> None:
        asked.append(deployment)
        raise StoreFault("locked")

    interruption = Interruption.of(replace(context, clock=clock), row)
    context.store.deployment_answers.abort(row.id, "ann")
    with monkeypatch.context() as patch:
        patch.setattr(context.store.deployment_answers, "aborted", aborted)
        assert not interruption.is_set()
    assert asked == [row.id]
    clock.advance(timedelta(seconds=0.5))
    assert interruption.is_set()


def aborting(service: Service, release: int, action: Callable[[], object]) -> None:
    """Let the rollout to a release wait until it is interrupted, after an action."""
    usual = service.roll_out

    def roll_out(
        spec: ReleaseSpec,
        number: int,
        replicas: Mapping[str, int],
        cancelled: threading.Event | None = None,
        **more: tuple[str, ...],
    ) -> None:
        if number == release and cancelled:
            action()
            assert cancelled.wait(DEADLINE)
            raise Cancelled("cancelled while deploying")
        usual(spec, number, replicas, cancelled, **more)

    service.roll_out = roll_out  # type: ignore[method-assign]


def test_an_aborted_deployment_is_rolled_back(context: StageContext, service: Service) -> None:
    """The reason names the user, and the outcome is that of a rollback."""
    deploy(context, "a")
    aborting(service, 2, lambda: abort(context.store, "shop", "ann", "wrong prices"))
    heard: list[str] = []
    context.events.subscribe(lambda event: heard.append(event.message))
    with pytest.raises(RolledBack) as error:
        deploy(context, "b")
    assert error.value.message == "aborted by ann: wrong prices; release 1 is active again"
    assert last(context) == (DeploymentState.ROLLED_BACK, "aborted by ann: wrong prices")
    assert "release 2: aborted by ann: wrong prices" in heard
    assert service.taken[-1] == "to 1"


def test_an_aborted_first_release_is_removed(context: StageContext, service: Service) -> None:
    """There is none to go back to."""
    aborting(service, 1, lambda: abort(context.store, "shop", "ann"))
    with pytest.raises(StageFailed, match=r"^aborted by ann; no release was active before, so it was removed$"):
        deploy(context, "a")
    assert service.taken[-1] == "tear down"
    assert [str(state) for state in states(context)] == ["failed"]


def test_a_cancellation_goes_before_an_abort(context: StageContext, service: Service) -> None:
    """A run that was cancelled as well is cancelled."""
    deploy(context, "a")

    def both() -> None:
        abort(context.store, "shop", "ann")
        context.cancelled.set()

    aborting(service, 2, both)
    with pytest.raises(Cancelled, match=r"^cancelled; release 1 is active again$"):
        deploy(context, "b")


def test_the_next_deployment_is_not_aborted(context: StageContext, service: Service) -> None:
    """An order is for one deployment."""
    deploy(context, "a")
    aborting(service, 2, lambda: abort(context.store, "shop", "ann"))
    with pytest.raises(RolledBack):
        deploy(context, "b")
    assert deploy(context, "c").number == 3
    assert last(context)[0] is DeploymentState.SUCCEEDED
