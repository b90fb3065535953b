"""Changes of the registry by a function: all or nothing, at once or soon."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.follower import Follower
from pipeline.balancer.model import ApplicationTargetGroup, Declaration, Target
from pipeline.balancer.registry import Registry
from pipeline.balancer.registry_snapshot import dump, load
from pipeline.balancer.resources import LoadBalancerResource, TargetGroupResource
from pipeline.base.errors import BalancerFault, ConfigError
from pipeline.testing.fakes.data_plane import FakePlane
from tests.support.waiting import DEADLINE, until

OWNER = "shop"


@pytest.fixture
def plane() -> FakePlane:
    return FakePlane()


@pytest.fixture
def balancer(tmp_path: Path, plane: FakePlane) -> Balancer:
    return Balancer(tmp_path, plane)


def group(number: int, **fields: object) -> TargetGroupResource:
    settings = ApplicationTargetGroup.model_validate({"port": 80})
    values = {"id": f"{number:016x}", "owner": OWNER, "made_by": "api", "name": f"group-{number}", "settings": settings}
    return TargetGroupResource.model_validate({**values, **fields})


def test_two_clients_at_once_lose_nothing(balancer: Balancer) -> None:
    """Each change is computed from the registry as it is under the lock."""
    numbers = range(8)
    threads = [
        threading.Thread(target=balancer.change, args=(OWNER, lambda known, number=number: known.put(group(number))))
        for number in numbers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {found.name for found in balancer.registry().target_groups.values()} == {f"group-{n}" for n in numbers}


def test_an_objection_of_the_plane_changes_nothing(balancer: Balancer, plane: FakePlane) -> None:
    """It reaches the caller, also of a change that may follow soon."""
    plane.objection = "unknown keyword"
    for soon in (False, True):
        with pytest.raises(ConfigError, match="HAProxy rejects the balancer of shop: unknown keyword"):
            balancer.change(OWNER, lambda known: known.put(group(1)), soon=soon)
    assert balancer.registry().is_empty
    assert plane.calls["apply"] == 0


def test_a_plane_that_fails_leaves_the_former_registry(balancer: Balancer, plane: FakePlane) -> None:
    """The change is undone on disk too."""
    balancer.change(OWNER, lambda known: known.put(group(1)))
    plane.fail("apply")
    with pytest.raises(BalancerFault):
        balancer.change(OWNER, lambda known: known.put(group(2)))
    assert [found.name for found in balancer.registry().target_groups.values()] == ["group-1"]


def test_a_change_of_what_is_kept_or_of_tags_does_not_reach_the_plane(balancer: Balancer, plane: FakePlane) -> None:
    """The plane knows neither, so it is not checked or reloaded."""
    balancer.change(OWNER, lambda known: known.put(group(1)))
    calls = plane.calls.copy()
    changed = {"kept": {"vpc": "vpc-1", "order": [1, {"a": None}]}, "tags": {"a": "b"}}
    balancer.change(OWNER, lambda known: known.put(group(1, **changed)))
    assert (plane.calls["check"], plane.calls["apply"]) == (calls["check"], calls["apply"])
    (found,) = balancer.registry().target_groups.values()
    assert (found.kept, found.tags, found.revision) == (changed["kept"], changed["tags"], 2)


def test_the_plane_runs_from_the_first_resource_to_the_last(balancer: Balancer, plane: FakePlane) -> None:
    """Also if that is a load balancer without listeners, which the plane does not see. The daemon would miss it."""
    fields = {"id": "1" * 16, "owner": OWNER, "made_by": "api", "name": "edge", "settings": {"type": "application"}}
    made = LoadBalancerResource.model_validate(fields)
    balancer.change(OWNER, lambda known: known.put(made))
    assert plane.pid() is not None
    assert not balancer.ensure_running()
    balancer.change(OWNER, lambda known: known.drop(made.id))
    assert plane.pid() is None


def test_what_is_kept_is_stored(balancer: Balancer, tmp_path: Path) -> None:
    """Another process reads it. A registry in which nothing is kept is written as before."""
    balancer.change(OWNER, lambda known: known.put(group(1, kept={"a": [1, "b"]})))
    (found,) = Balancer(tmp_path, FakePlane()).registry().target_groups.values()
    assert found.kept == {"a": [1, "b"]}
    declaration = Declaration.model_validate(
        {
            "target_groups": {"web": {"port": 80}},
            "load_balancers": {"edge": {"listeners": [{"port": 8080, "default_action": {"forward": "web"}}]}},
        }
    )
    declared = Registry().declare(OWNER, declaration)
    assert "kept" not in dump(declared)
    assert load(dump(declared).encode()).declares(OWNER, declaration)


def test_soon_returns_before_the_plane_follows(balancer: Balancer, plane: FakePlane) -> None:
    """It follows without a further call."""
    with plane.hanging("apply"):
        balancer.change(OWNER, lambda known: known.put(group(1)), soon=True)
        assert len(balancer.registry().target_groups) == 1
    until(lambda: plane.observe().targets.keys() == {"shop.group-1"}, "the plane follows")


def test_a_call_that_needs_the_plane_completes_what_was_to_follow(balancer: Balancer, plane: FakePlane) -> None:
    """A registration right after a change finds the group in the plane. No health says that it is missing."""
    balancer.change(OWNER, lambda known: known.put(group(1)), soon=True)
    balancer.register(OWNER, "group-1", Target(id="a", address="10.0.0.1", port=80))
    assert "a" in plane.observe(["shop.group-1"]).targets["shop.group-1"]


def test_targets_do_not_wait_for_new_rules(balancer: Balancer, plane: FakePlane, tmp_path: Path) -> None:
    """The plane has their group. Of what another process has written, nothing is known, so the plane follows first."""
    balancer.change(OWNER, lambda known: known.put(group(1)))
    plane.fail("apply", times=100)
    balancer.change(OWNER, lambda known: known.put(group(2)), soon=True)
    for name in ("a", "b"):
        balancer.register(OWNER, "group-1", Target(id=name, address="10.0.0.1", port=80))
    assert plane.observe(["shop.group-1"]).targets["shop.group-1"].keys() == {"a", "b"}
    with pytest.raises(BalancerFault):
        Balancer(tmp_path, plane).register(OWNER, "group-1", Target(id="c", address="10.0.0.1", port=80))
    plane.heal()
    balancer.reconcile()
    assert plane.observe().targets.keys() == {"shop.group-1", "shop.group-2"}


def test_a_process_that_ends_before_the_plane_follows_is_completed_by_the_next(tmp_path: Path) -> None:
    """The change is on disk, and the next reconciliation applies it."""
    dead = FakePlane()
    dead.fail("apply", times=100)
    Balancer(tmp_path, dead).change(OWNER, lambda known: known.put(group(1)), soon=True)
    plane = FakePlane()
    Balancer(tmp_path, plane).reconcile()
    assert "shop.group-1" in plane.observe().targets


def test_requests_in_quick_succession_share_a_call() -> None:
    """A thousand requests need no thousand calls."""
    called: list[bool] = []
    follower = Follower(lambda: called.append(True))
    for _ in range(1000):
        follower.request()
    until(lambda: called and not _follows(), "its thread ends")
    assert len(called) < 1000


def _follows() -> bool:
    return any(thread.name == "balancer-follower" for thread in threading.enumerate())


def test_requests_while_it_follows_are_followed_too() -> None:
    """No request is lost between the last call and the end of the thread."""
    called, gate = [], threading.Event()

    def follow() -> None:
        called.append(True)
        gate.wait(DEADLINE)

    follower = Follower(follow)
    follower.request()
    until(lambda: called, "it follows")
    follower.request()
    gate.set()
    until(lambda: len(called) == 2, "it follows again")
    until(lambda: not _follows(), "its thread ends")
    follower.request()
    until(lambda: len(called) == 3, "it follows after its thread has ended")


def test_a_failure_does_not_end_the_follower() -> None:
    """The next request is followed."""
    outcomes = [BalancerFault("no"), None]
    done: list[object] = []

    def follow() -> None:
        outcome = outcomes[len(done)]
        done.append(outcome)
        if outcome is not None:
            raise outcome

    follower = Follower(follow)
    for number in (1, 2):
        follower.request()
        until(lambda number=number: len(done) == number, "it follows")
