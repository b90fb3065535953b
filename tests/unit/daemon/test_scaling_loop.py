"""The scaling loop: what it stores and reports, restarts, deployments, suspension, and scheduled actions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import BalancerFault
from pipeline.base.home import Home
from pipeline.store.store import Store
from tests.support.scaled_service import INTERVAL, MONDAY, NAME, ScaledService, policy_text
from tests.support.waiting import DEADLINE

MINUTE = timedelta(minutes=1)


@pytest.fixture
def store_and_home(tmp_path: Path) -> Iterator[tuple[Store, Home]]:
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        yield store, home


@pytest.fixture
def service(tmp_path: Path, store_and_home: tuple[Store, Home]) -> ScaledService:
    """A service with two replicas, which were just deployed."""
    service = ScaledService(tmp_path, *store_and_home)
    service.deploy(2, policy_text())
    return service


def test_load_adds_replicas_at_once(service: ScaledService) -> None:
    """The event has the numbers and the reason. The repair loop hears of the change."""
    service.requests = 550
    service.tick()
    assert service.count == 2, "the first interval has no metrics yet"
    service.tick()
    assert (service.count, service.changes) == (6, [6])
    reason = "requests_per_target: 550 in total, target 100 for each replica"
    assert service.heard("scaling.out") == [f"web: 2 → 6 replicas: {reason}"]
    fields = service.events[-1].fields
    assert (fields["before"], fields["replicas"], fields["min"], fields["max"]) == (2, 6, 1, 10)
    assert (fields["reason"], fields["requests"], fields["serving"], fields["starting"]) == (reason, 550, 2, 0)
    assert service.reason == reason


def test_less_load_removes_replicas_after_the_cooldown(service: ScaledService) -> None:
    """Not before."""
    service.deploy(8)
    service.requests = 170
    service.tick(2)
    while service.count == 8 and service.clock.now().wall < MONDAY + timedelta(hours=1):
        service.tick()
    assert service.clock.now().wall - MONDAY >= timedelta(minutes=5)
    assert service.count == 2
    (text,) = service.heard("scaling.in")
    assert text.startswith("web: 8 → 2 replicas: requests_per_target: 170 in total")


def test_a_step_is_made_once_in_an_interval(service: ScaledService) -> None:
    """A wake in between waits for the rest of it, and the intervals do not drift."""
    service.loop.step()
    service.clock.advance(timedelta(seconds=6))
    assert service.loop.step() == timedelta(seconds=9)
    service.clock.advance(timedelta(seconds=9.5))
    assert service.loop.step() == timedelta(seconds=14.5)


def test_a_pipeline_without_scaling_reads_nothing(tmp_path: Path, store_and_home: tuple[Store, Home]) -> None:
    """It waits for a deployment that changes that, which wakes it."""
    service = ScaledService(tmp_path, *store_and_home)
    service.fault = BalancerFault("no metrics are read")
    assert service.loop.step() > MINUTE
    service.deploy(2)
    assert service.loop.step() > MINUTE
    assert service.events == []


def test_the_cooldown_goes_on_after_a_restart(service: ScaledService) -> None:
    """A daemon that is upgraded does not begin it anew."""
    service.deploy(5)
    service.requests = 170
    service.tick(12)
    service.restart()
    begin = service.clock.now().wall
    while service.count == 5 and service.clock.now().wall < begin + timedelta(hours=1):
        service.tick()
    assert service.count == 2
    assert service.clock.now().wall - MONDAY < timedelta(minutes=6)


def test_the_cooldown_begins_again_after_a_long_absence(service: ScaledService) -> None:
    """The load of that time is not known."""
    service.deploy(5)
    service.requests = 170
    service.tick(12)
    service.clock.advance(timedelta(minutes=10))
    service.restart()
    begin = service.clock.now().wall
    while service.count == 5 and service.clock.now().wall < begin + timedelta(hours=1):
        service.tick()
    assert service.clock.now().wall - begin >= timedelta(minutes=5)


def test_nothing_changes_during_a_deployment(service: ScaledService) -> None:
    """Also if the load rises. The controller decides again in the interval after it."""
    service.tick()
    service.requests = 900
    with service.deployment(count=3):
        service.tick(20)
        assert (service.count, service.changes) == (2, [])
    service.tick(2)
    assert service.count == 9


def test_nothing_changes_while_a_row_is_open(service: ScaledService) -> None:
    """A deployment whose process died, which nobody has recovered yet, or which is held."""
    row, _ = service.begin()
    service.restart()
    service.requests = 900
    service.tick(10)
    assert (service.count, service.changes) == (2, [])
    service.finish(row, 4)
    service.tick(2)
    assert service.count == 9


def test_a_deployment_takes_the_newest_number(service: ScaledService) -> None:
    """While it opens its row, the loop stores none, whatever both threads do."""
    service.requests = 900
    done = threading.Event()

    def scale() -> None:
        while not done.is_set():
            service.requests = 1000 - (service.requests or 0)
            service.clock.advance(INTERVAL)
            service.loop.step()

    thread = threading.Thread(target=scale)
    thread.start()
    try:
        for _ in range(20):
            with service.deployment() as wanted:
                assert service.count == wanted
    finally:
        done.set()
        thread.join(DEADLINE)


def test_suspension(service: ScaledService) -> None:
    """Neither load nor bounds change the number. A cooldown begins again afterwards."""
    service.tick()
    assert service.store.scaling.suspend(NAME, "web")
    assert not service.store.scaling.suspend(NAME, "web")
    service.deploy(2, policy_text(min=3))
    service.requests = 900
    service.tick(4)
    assert (service.count, service.changes) == (2, [])
    assert service.store.scaling.resume(NAME, "web")
    assert not service.store.scaling.resume(NAME, "web")
    service.tick(2)
    assert service.count == 9


def test_metrics_that_cannot_be_read_are_reported_once(service: ScaledService) -> None:
    """The bounds still hold. Another fault, and one after it was over, is reported again."""
    service.fault = BalancerFault("HAProxy does not respond")
    service.tick(3)
    assert service.heard("scaling.blind") == ["web: cannot read the metrics for scaling: HAProxy does not respond"]
    assert service.count == 2
    assert service.reason == "requests_per_target is unknown"
    service.deploy(2, policy_text(min=4))
    service.tick()
    assert service.count == 4
    service.fault = None
    service.tick()
    service.fault = BalancerFault("HAProxy does not respond")
    service.tick()
    assert len(service.heard("scaling.blind")) == 2


def test_a_number_out_of_bounds_is_corrected_before_there_are_metrics(service: ScaledService) -> None:
    """As after a daemon was away while a scheduled action was due."""
    service.deploy(2, policy_text(min=5))
    service.loop.step()
    assert service.count == 5
    assert service.reason == "min is 5"


def test_replicas_that_start_count(service: ScaledService) -> None:
    """As long as they may take for it. After that, they are missing, but are not asked for twice either."""
    service.tick()
    service.requests = 400
    service.tick()
    service.missing = 2
    service.tick(3)
    assert service.changes == [4]
    service.requests = 390
    service.tick(10)
    assert service.changes == [4]


def test_a_service_that_the_release_does_not_have_is_left_alone(service: ScaledService) -> None:
    """A rollback keeps the policies of the last deployed file."""
    row, wanted = service.begin()
    service.store.deployments.finish(row, row.state.SUCCEEDED, wanted={"web": wanted}, scaling={"other": policy_text()})
    service.tick(3)
    assert service.changes == []
    assert service.heard("scaling.out", "scaling.in", "scaling.blind") == []


SCHEDULE = [{"cron": "0 8 * * *", "min": 6}, {"cron": "0 20 * * *", "min": 1}]


def test_scheduled_actions_follow_the_time_zone(service: ScaledService) -> None:
    """8 o'clock in Tokyo is 23 o'clock in UTC."""
    service.deploy(2, policy_text(schedule=SCHEDULE, timezone="Asia/Tokyo"))
    service.tick()
    assert service.count == 2
    service.clock.advance(timedelta(hours=10, minutes=59))
    service.tick()
    assert service.count == 2
    service.clock.advance(timedelta(seconds=30))
    service.tick()
    assert (service.count, service.reason) == (6, "min is 6")


def test_a_missed_action_applies_after_a_restart(service: ScaledService) -> None:
    """The daemon was down at 8 o'clock."""
    service.deploy(2, policy_text(schedule=SCHEDULE, timezone="UTC"))
    service.tick()
    service.clock.advance(timedelta(hours=22))
    service.restart()
    service.loop.step()
    assert service.count == 6


@pytest.mark.parametrize(("day", "hour"), [("2026-03-28", 7), ("2026-03-29", 6), ("2026-10-25", 7)])
def test_daylight_saving(day: str, hour: int, tmp_path: Path, store_and_home: tuple[Store, Home]) -> None:
    """8 o'clock in Berlin is 7 o'clock in UTC in winter, and 6 in summer, which lasts from March 29 to October 25."""
    start = datetime.fromisoformat(day).replace(hour=hour, tzinfo=UTC) - MINUTE
    service = ScaledService(tmp_path, *store_and_home, wall=start)
    service.deploy(2, policy_text(schedule=SCHEDULE, timezone="Europe/Berlin"))
    service.loop.step()
    assert service.count == 2
    service.clock.advance(MINUTE)
    service.loop.step()
    assert service.count == 6


ZERO = policy_text(min=0, idle_time="1m")


def test_the_first_request_starts_a_replica_at_once(service: ScaledService) -> None:
    """Not at the next interval. Without a request, an idle service has none after the idle time."""
    service.deploy(2, ZERO)
    service.tick(6)
    assert (service.count, service.reason) == (0, "no requests for 1m")
    service.clock.advance(timedelta(seconds=1))
    service.loop.step()
    assert service.count == 0
    service.held = 1
    service.loop.step()
    assert (service.count, service.changes) == (1, [0, 1])
    assert service.heard("scaling.out") == ["web: 0 → 1 replicas: the first request"]


def test_a_daemon_that_starts_sees_what_is_held(service: ScaledService) -> None:
    """In its first interval, in which no other metric is known."""
    service.deploy(2, ZERO)
    service.tick(6)
    service.held = 1
    service.restart()
    service.tick()
    assert service.count == 1


def test_what_is_held_waits_for_the_end_of_a_deployment_or_a_suspension(service: ScaledService) -> None:
    """The deployment starts a replica itself. A suspended service stays at zero."""
    service.deploy(2, ZERO)
    service.tick(6)
    service.held = 1
    service.store.scaling.suspend(NAME, "web")
    service.loop.step()
    assert service.count == 0
    service.store.scaling.resume(NAME, "web")
    with service.deployment() as replicas:
        service.loop.step()
        assert (service.count, replicas) == (0, 1)
    service.loop.step()
    assert service.count == 1


def test_a_release_that_cannot_hold_keeps_a_replica(tmp_path: Path, store_and_home: tuple[Store, Home]) -> None:
    """Such as one from before the policy, to which the service was rolled back."""
    service = ScaledService(tmp_path, *store_and_home, scaling="")
    service.deploy(2, ZERO)
    service.tick(30)
    assert service.count == 1
    (text,) = service.heard("scaling.in")
    assert text.startswith("web: 2 → 1 replicas: ")
