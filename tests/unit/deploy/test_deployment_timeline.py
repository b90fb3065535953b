"""The timelines of real deployments, with a runtime and a data plane in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.api import StageContext
from pipeline.base.errors import RolledBack
from pipeline.http.responses.timeline import TimelineService
from pipeline.http.timeline.timeline import timeline_of
from tests.unit.deploy.shifts import Shop


@pytest.fixture
def shop(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop with release 1."""
    shop = Shop(context, monkeypatch)
    with shop.running():
        shop.strategy = "rolling"
        shop.deploy("a")
        shop.events.clear()
        yield shop


def service(shop: Shop, context: StageContext) -> TimelineService:
    """Return the timeline of the events since the last deployment."""
    (run, *_) = context.store.runs.latest("shop")
    (found,) = timeline_of(run, [], enumerate(shop.events)).services
    return found


def shapes(found: TimelineService) -> list[tuple[int, list[str]]]:
    """Return the release and the phases of each lane."""
    return [(lane.release, [str(phase.phase) for phase in lane.phases]) for lane in found.lanes]


_NEW = ["starting", "initial", "healthy"]
_GONE = ["draining", "stopping", "stopped"]
_OLD = ["healthy", *_GONE]


@pytest.mark.parametrize("strategy", ["rolling", "{type: canary, percent: 10, bake_time: 30s}"])
def test_a_deployment_has_a_lane_for_each_container(strategy: str, shop: Shop, context: StageContext) -> None:
    """The previous ones end, the new ones stay, and the healthy targets never are below the floor."""
    shop.strategy = strategy
    shop.deploy("b")
    found = service(shop, context)
    assert sorted(shapes(found)) == [(1, _OLD), (1, _OLD), (2, _NEW), (2, _NEW)]
    assert (found.release, found.replicas) == (2, 2)
    assert found.healthy[0].healthy == found.healthy[-1].healthy == 2
    assert all(point.healthy >= point.floor for point in found.healthy)
    assert {point.floor for point in found.healthy} == {2}
    assert [point.share for point in found.shares] == ([] if strategy == "rolling" else [0, 10, 100])


def test_a_rollback_is_shown(shop: Shop, context: StageContext) -> None:
    """The new containers go, the previous ones stay, and the requests come back."""
    shop.strategy = "{type: canary, percent: 10, bake_time: 30s}"
    shop.alarms["b"] = "too many errors"
    with pytest.raises(RolledBack):
        shop.deploy("b")
    found = service(shop, context)
    assert sorted(shapes(found)) == [(1, ["healthy"]), (1, ["healthy"]), (2, _NEW + _GONE), (2, _NEW + _GONE)]
    assert (found.healthy[0].healthy, found.healthy[-1].healthy) == (2, 2)
    assert [point.share for point in found.shares] == [0, 10, 0]


def test_the_end_of_a_pipeline_has_no_floor(shop: Shop, context: StageContext) -> None:
    """`pipeline down` drains all."""
    shop.command("down")
    found = service(shop, context)
    assert shapes(found) == [(1, _OLD), (1, _OLD)]
    assert [(found.release, found.replicas), found.healthy[-1].healthy, found.healthy[-1].floor] == [(0, 0), 0, 0]
