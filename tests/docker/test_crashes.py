"""Killed with SIGKILL at any point, nothing is lost, and the next command leaves exactly what should be there."""

from __future__ import annotations

import json

import pytest

from pipeline.store.records import ReleaseState, RunState
from tests.docker.project import Project

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

# Where a run from release 1 to release 2 is killed, and during which stage that was.
ROLLING_OUT = {
    "run.started": "",
    "stage.started source": "Source",
    "log:Step 3": "Build",
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


def last_run(project: Project) -> tuple[RunState, str]:
    with project.store() as store:
        run = store.runs.latest(project.name, 1)[0]
    return run.state, run.reason


@pytest.mark.parametrize("point", ROLLING_OUT)
def test_killed_while_rolling_out(point: str, service: Project) -> None:
    """Release 1 serves all the time, and alone after the next command, which says what happened."""
    if ROLLING_OUT[point] == "Build":
        # In no cache: what is killed is a build at work.
        service.write("point.txt", point)
    service.commit("2")
    with service.load() as load:
        service.crash(point, "run")
        told = service.pipeline("recover").out
        report = load.stop()
    during = f" during {ROLLING_OUT[point]}" if ROLLING_OUT[point] else ""
    assert f"run 2 was interrupted{during}" in told
    assert report.failed == 0, report.failures
    service.assert_serving(release=1)
    assert last_run(service) == (RunState.INTERRUPTED, f"interrupted{during}")
    service.pipeline("run")
    service.assert_serving(release=2 if ROLLING_OUT[point] != "Deploy" else 3)


def test_killed_when_the_new_release_already_serves(service: Project) -> None:
    """What was finished is not undone."""
    service.commit("2")
    with service.load() as load:
        service.crash("stage.finished deploy", "run")
        service.pipeline("recover")
        assert load.stop().failed == 0
    service.assert_serving(release=2)


@pytest.mark.parametrize("point", ["rollback.started", "container.stopped*2", "container.removed*2"])
def test_killed_while_rolling_back(point: str, service: Project) -> None:
    """The way back is finished by the next command."""
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


@pytest.mark.parametrize("point", ["target.healthy", "container.stopped"])
def test_killed_during_a_rollback_by_hand(point: str, service: Project) -> None:
    """The release that served is put back: the last good one."""
    service.commit("2")
    service.pipeline("run")
    with service.load() as load:
        service.crash(point, "rollback")
        service.pipeline("recover")
        assert load.stop().failed == 0
    service.assert_serving(release=2)


def test_killed_while_recovering(service: Project) -> None:
    """And again: every command can be killed, and the one after it goes on."""
    service.commit("2")
    with service.load() as load:
        service.crash("target.draining", "run")
        service.crash("recovery.started", "recover")
        service.crash("container.started", "recover")
        told = service.pipeline("recover").out
        assert load.stop().failed == 0
    assert "recovered: release 1 serves" in told
    service.assert_serving(release=1)


def test_killed_while_taking_it_down(service: Project) -> None:
    """Down means down: the next command finishes it."""
    service.crash("container.stopped", "down")
    service.pipeline("recover")
    service.assert_gone()


def test_killed_during_the_first_deployment(project: Project) -> None:
    """Nothing was in service, and nothing is left."""
    project.crash("target.registered", "run")
    assert "nothing had been in service before, and nothing is left of it" in project.pipeline("recover").out
    project.assert_gone()
    project.pipeline("run")
    project.assert_serving(release=2)


def test_the_next_run_recovers_by_itself(service: Project) -> None:
    """Whoever just runs again needs no other command, and no request is lost over both."""
    service.commit("2")
    with service.load() as load:
        service.crash("container.stopping", "run")
        told = service.pipeline("run").out
        report = load.stop()
    assert "run 2 was interrupted during Deploy" in told
    assert report.failed == 0, report.failures
    service.assert_serving(release=3)


def test_machines_can_read_what_happened(service: Project) -> None:
    """`recover --json` says nothing but JSON. `status --json` says that it is needed, and repairs nothing."""
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
