"""After SIGKILL at any point nothing is lost, and the next command restores exactly the declared state."""

from __future__ import annotations

import json

import pytest

from pipeline.store.records import ReleaseState, RunState
from tests.docker.project import Project

pytestmark = pytest.mark.docker

# Points at which a run from release 1 to release 2 is killed, each with its stage. Those of `USUAL` are no long tests.
ROLLING_OUT = {
    "run.started": "",
    "stage.started source": "Source",
    "log:#5 ": "Build",
    "build.finished": "Build",
    "test.started": "Build",
    "log:Ran ": "Build",
    "stage.finished build": "",
    "deployment.started": "Deploy",
    "container.starting": "Deploy",
    "container.started": "Deploy",
    "target.registered": "Deploy",
    "target.healthy": "Deploy",
    "target.draining": "Deploy",
    "container.stopping": "Deploy",
    "container.stopped": "Deploy",
    "container.removed": "Deploy",
    "container.started*2": "Deploy",
    "target.healthy*2": "Deploy",
    "container.stopped*2": "Deploy",
}
USUAL = ("log:#5 ", "test.started", "target.draining", "container.started*2")


def _long(point: str) -> object:
    return pytest.param(point, marks=pytest.mark.long)


def last_run(project: Project) -> tuple[RunState, str]:
    with project.store() as store:
        run = store.runs.latest(project.name, 1)[0]
    return run.state, run.reason


@pytest.mark.parametrize("point", [point if point in USUAL else _long(point) for point in ROLLING_OUT])
def test_killed_while_rolling_out(point: str, service: Project) -> None:
    """Release 1 stays active, and the next command removes the new release and reports the interruption."""
    if ROLLING_OUT[point] == "Build":
        # Not in the cache, so that a running build is killed.
        service.write("point.txt", point)
    service.commit("2")
    with service.load() as load:
        service.crash(point, "run")
        output = service.pipeline("recover").out
        report = load.stop()
    during = f" during {ROLLING_OUT[point]}" if ROLLING_OUT[point] else ""
    assert f"run 2 was interrupted{during}" in output
    assert report.failed == 0, report.failures
    service.assert_serving(release=1)
    assert last_run(service) == (RunState.INTERRUPTED, f"interrupted{during}")
    service.pipeline("run")
    service.assert_serving(release=2 if ROLLING_OUT[point] != "Deploy" else 3)


def test_killed_after_the_new_release_became_active(service: Project) -> None:
    """A finished deployment is not rolled back by recovery."""
    service.commit("2")
    with service.load() as load:
        service.crash("stage.finished deploy", "run")
        service.pipeline("recover")
        assert load.stop().failed == 0
    service.assert_serving(release=2)


@pytest.mark.parametrize("point", [_long("rollback.started"), "container.stopped*2", _long("container.removed*2")])
def test_killed_while_rolling_back(point: str, service: Project) -> None:
    """The next command finishes a rollback that was killed."""
    service.configure(("deploy_timeout: 20s", "deploy_timeout: 2s\n  rolling: {max_surge: 2}"))
    service.commit("2-broken")
    with service.load() as load:
        service.crash(point, "run")
        service.pipeline("recover")
        report = load.stop()
    assert report.failed == 0, report.failures
    service.assert_serving(release=1)
    with service.store() as store:
        assert [r.state for r in store.releases.all(service.name)] == [ReleaseState.FAILED, ReleaseState.ACTIVE]


@pytest.mark.parametrize("point", [_long("target.healthy"), "container.stopped"])
def test_killed_during_a_rollback_by_hand(point: str, service: Project) -> None:
    """A rollback that was killed is undone, and the release that was active stays active."""
    service.commit("2")
    service.pipeline("run")
    with service.load() as load:
        service.crash(point, "rollback")
        service.pipeline("recover")
        assert load.stop().failed == 0
    service.assert_serving(release=2)


def test_killed_while_recovering(service: Project) -> None:
    """A recovery that was killed is completed by the next command."""
    service.commit("2")
    with service.load() as load:
        service.crash("target.draining", "run")
        service.crash("recovery.started", "recover")
        service.crash("container.started", "recover")
        output = service.pipeline("recover").out
        assert load.stop().failed == 0
    assert "recovered: release 1 is active" in output
    service.assert_serving(release=1)


def test_killed_while_taking_it_down(service: Project) -> None:
    """The next command finishes a `down` that was killed."""
    service.crash("container.stopped", "down")
    service.pipeline("recover")
    service.assert_gone()


def test_killed_during_the_first_deployment(project: Project) -> None:
    """A killed first deployment leaves no container, target or release."""
    project.crash("target.registered", "run")
    assert "no release was active before, and the interrupted one was removed" in project.pipeline("recover").out
    project.assert_gone()
    project.pipeline("run")
    project.assert_serving(release=2)


def test_the_next_run_recovers_first(service: Project) -> None:
    """`pipeline run` recovers first, and no request is lost during both runs."""
    service.commit("2")
    with service.load() as load:
        service.crash("container.stopping", "run")
        output = service.pipeline("run").out
        report = load.stop()
    assert "run 2 was interrupted during Deploy" in output
    assert report.failed == 0, report.failures
    service.assert_serving(release=3)


def test_machines_can_read_what_happened(service: Project) -> None:
    """`recover --json` prints only JSON. `status --json` reports an interrupted run and repairs nothing."""
    service.commit("2")
    service.crash("target.draining", "run")
    assert json.loads(service.pipeline("status", "--json").out)["broken"] == ["a run or a deployment was interrupted"]
    assert "`pipeline recover`" in service.pipeline("status").out
    events = [json.loads(line) for line in service.pipeline("recover", "--json").out.splitlines()]
    assert "recovery.finished" in {event["kind"] for event in events}
    status = json.loads(service.pipeline("status", "--json").out)
    assert status["broken"] == []
    assert status["last_run"] == {"number": 2, "state": "interrupted", "reason": "interrupted during Deploy"}
    assert [t["state"] for t in status["targets"]] == ["healthy"] * 2
