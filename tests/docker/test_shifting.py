"""Strategies under load, forwards and back, and SIGKILL in each of their steps."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from pipeline.balancer.model import TargetState
from tests.docker.project import Project, until
from tests.docker.serving import serving
from tests.docker.shifting_project import assert_at_home, assert_lossless, events, share, with_strategy

pytestmark = pytest.mark.docker

CANARY = "{type: canary, percent: 20, bake_time: 2s}"
STRATEGIES = {
    "canary": CANARY,
    "linear": "{type: linear, step_percent: 40, step_bake_time: 1s, bake_time: 1s}",
    "blue_green": "{type: blue_green, bake_time: 2s}",
    "all_at_once": "all_at_once",
}
# Points at which a canary from release 1 to release 2 is killed, with the share of release 2 after it.
POINTS = {
    "shift.installing": None,
    "container.started*2": 0,
    "target.healthy": 0,
    "shift.installed": 0,
    "shift.step": 20,
    "shift.step*2": 100,
    "shift.retiring": 100,
    "target.draining": 100,
    "container.stopped": 100,
    "container.removed*2": 100,
    "shift.homing": 100,
    "shift.removed": None,
}
USUAL = ("shift.step",)


def marked(names: Mapping[str, object], usual: tuple[str, ...]) -> list[object]:
    return [pytest.param(name, marks=[] if name in usual else pytest.mark.long) for name in names]


@pytest.mark.parametrize("strategy", marked(STRATEGIES, ("canary",)))
def test_forwards_and_back_under_load(strategy: str, service: Project) -> None:
    """A strategy moves the service to a good release, and back from a bad one, without a failed request."""
    with_strategy(service, STRATEGIES[strategy])
    service.commit("2")
    with service.load() as load:
        output = service.pipeline("run").out
        assert "web of release 2" in output
        assert_at_home(service, release=2)
        service.write("version.txt", "3-broken\n")
        service.commit()
        with_strategy(service, STRATEGIES[strategy])
        service.configure(("deploy_timeout: 20s", f"deploy_timeout: 2s\n  strategy: {STRATEGIES[strategy]}"))
        service.pipeline("run", code=4)
        assert_at_home(service, release=2)
        report = load.stop()
    assert_lossless(report)
    shown = [fields["share"] for fields in events(service, "shift.step")]
    assert shown == {"canary": [20, 100], "linear": [40, 80, 100]}.get(strategy, [100])
    assert strategy in service.pipeline("history").out


@pytest.mark.long
def test_a_cancelled_canary_goes_back_under_load(service: Project) -> None:
    """The previous release, which was never touched, gets all requests again."""
    with_strategy(service, "{type: canary, percent: 50, bake_time: 1h}")
    service.commit("2")
    before = {container.name for container in service.containers()}
    with service.load() as load:
        running = service.start("run")
        until(lambda: share(service) == 50, "the first step")
        status = service.pipeline("status").out
        assert "web is in step 1 of 2 of canary, with 50 % of the requests: waits for its bake time" in status
        found = json.loads(service.pipeline("status", "--json").out)["deployment"]["services"][0]
        assert (found["phase"], found["step"], found["share"], found["bake_time"]) == ("shift", 1, 50, 3600)
        running.send_signal(2)
        service.finish(running, code=130)
        report = load.stop()
    assert_lossless(report)
    assert_at_home(service, release=1)
    assert {container.name for container in service.containers()} == before


@pytest.mark.parametrize("point", marked(POINTS, USUAL))
def test_killed_and_continued(point: str, service: Project) -> None:
    """The next run of the release continues in the step in which the process died, and loses no request."""
    with_strategy(service, CANARY)
    service.commit("2")
    with service.load() as load:
        service.crash(point, "run")
        assert share(service) == POINTS[point]
        output = service.pipeline("run").out
        report = load.stop()
    assert_lossless(report)
    assert "continuing the deployment" in output
    assert_at_home(service, release=2)
    assert [fields["share"] for fields in events(service, "shift.step")] == [20, 100]


@pytest.mark.parametrize("point", marked(POINTS, ()))
def test_killed_and_undone(point: str, service: Project) -> None:
    """`pipeline recover` takes everything back, and loses no request."""
    with_strategy(service, CANARY)
    service.commit("2")
    with service.load() as load:
        service.crash(point, "run")
        assert "recovered: release 1 is active" in service.pipeline("recover").out
        report = load.stop()
    assert_lossless(report)
    assert_at_home(service, release=1)


@pytest.mark.long
@pytest.mark.parametrize("point", ["rollback.started", "shift.returned", "target.draining", "container.removed"])
def test_killed_while_rolling_back(point: str, service: Project) -> None:
    """The next command completes the rollback. Nothing continues the deployment."""
    with_strategy(service, CANARY)
    service.commit("2")
    with service.load() as load:
        service.crash("shift.step", "run")
        service.crash(point if point != "rollback.started" else "recovery.started", "recover")
        service.pipeline("recover")
        report = load.stop()
    assert_lossless(report)
    assert_at_home(service, release=1)


def test_the_daemon_continues_a_killed_canary(service: Project) -> None:
    """`pipeline serve`, killed in the bake time of a canary, continues it after its restart, and repairs nothing."""
    with_strategy(service, "{type: canary, percent: 20, bake_time: 8s}")
    with service.load() as load:
        with serving(service) as daemon:
            service.commit("2")
            until(lambda: share(service) == 20, "the first step")
            daemon.kill()
        assert share(service) == 20
        with serving(service):
            until(lambda: events(service, "deployment.resumed") != [], "that the daemon continues")
            until(lambda: share(service) is None, "the end of the deployment")
            until(lambda: not is_working(service), "the end of the run")
            assert_at_home(service, release=2)
        report = load.stop()
    assert_lossless(report)
    assert events(service, "reconcile.drift") == []
    assert [fields["share"] for fields in events(service, "shift.step")] == [20, 100]


def is_working(project: Project) -> bool:
    """Return whether a deployment or its run is not over. The run ends a moment after its deployment."""
    with project.store() as store:
        return store.deployments.open(project.name) is not None or bool(store.queue.unfinished(project.name))


@pytest.mark.long
def test_long_requests_end_within_the_delay(service: Project) -> None:
    """Requests that are open when the share changes, or when containers are drained, are answered."""
    with_strategy(service, "all_at_once")
    service.commit("2")
    with service.load(rate=20, posts=0) as load, service.load(rate=5) as slow:
        service.pipeline("run")
        reports = (load.stop(), slow.stop())
    for report in reports:
        assert_lossless(report)
    assert {health.state for health in service.targets()} == {TargetState.HEALTHY}
