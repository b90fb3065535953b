"""Hooks, promote, abort and the circuit breaker, by commands on a real engine and under load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.engine.labels import ROLE_RELEASE
from pipeline.store.records import RunState
from tests.docker.project import Project, until
from tests.docker.serving import serving
from tests.docker.steps import events, log
from tests.support.waiting import COMMAND_TIMEOUT

pytestmark = pytest.mark.docker

REPORT = "import os; print(os.environ['PENSTOCK_EVENT'], os.environ['PENSTOCK_RELEASE'], open('version.txt').read())"


def with_hooks(project: Project, version: str, hooks: dict[str, list[dict[str, object]]]) -> None:
    """Commit a version with hooks."""
    project.configure(("deploy:\n", f"deploy:\n  hooks: {json.dumps(hooks)}\n"))
    project.commit(version)


def wait_for(project: Project, kind: str, count: int = 1) -> None:
    """Wait for a number of events of a kind."""
    until(lambda: len(events(project, kind)) >= count, f"event {kind}")


def test_hooks_run_and_a_pause_is_promoted(project: Project) -> None:
    """On the host, in the new image and by HTTP. The output is in the run's log, and a failure rolls back."""
    project.write(
        "host.sh", "#!/bin/sh\necho host $PENSTOCK_EVENT $PENSTOCK_RELEASE after $PENSTOCK_PREVIOUS_RELEASE\n"
    )
    (project.directory / "host.sh").chmod(0o755)
    project.commit("1")
    project.pipeline("run")
    every = {
        "BeforeInstall": [{"host_command": ["./host.sh"]}, {"command": ["python3", "-c", REPORT]}],
        "AfterAllowTraffic": [
            {"http": {"url": f"http://127.0.0.1:{project.port}/", "retries": 5, "interval": "100ms"}},
            {"pause": True},
        ],
    }
    with project.load() as load:
        with_hooks(project, "2", every)
        command = project.start("run")
        wait_for(project, "deployment.waiting")
        assert "waits in Deploy: web: the pause in AfterAllowTraffic" in project.pipeline("status").out
        project.assert_active(1)
        project.pipeline("promote")
        project.finish(command)
        project.assert_serving(2)
        lines = log(project, 2, "hook")
        assert lines[:2] == ["host BeforeInstall 2 after 1", "BeforeInstall 2 2"]
        assert f"GET 127.0.0.1:{project.port}: succeeded" in lines
        with_hooks(project, "3", {"AfterAllowTraffic": [{"host_command": ["/bin/sh", "-c", "echo too slow; exit 7"]}]})
        failed = project.pipeline("run", code=4)
        assert (
            "the hook AfterAllowTraffic of web (`/bin/sh -c 'echo too slow; exit 7'`) failed with exit code 7"
            in failed.err
        )
        assert log(project, 3, "hook") == ["too slow"]
        project.assert_serving(2)
        with_hooks(project, "4", {"BeforeInstall": [{"pause": True}]})
        command = project.start("run")
        wait_for(project, "deployment.waiting", 2)
        project.pipeline("abort", "-m", "wrong prices")
        assert "wrong prices; release 2 is active again" in project.finish(command, code=4).err
        project.assert_serving(2)
        assert load.stop().failed == 0


def test_an_alarm_ends_a_hook(project: Project) -> None:
    """A command that would run for an hour is stopped, its container is removed, and the release is rolled back."""
    project.pipeline("run")
    alarms = [{"command": ["test", "!", "-e", "bad"], "interval": "1s"}]
    hooks = {"AfterAllowTraffic": [{"command": ["sleep", "3600"], "timeout": "2h", "stop_grace": "1s"}]}
    settings = f"  hooks: {json.dumps(hooks)}\n  rollback_on: {json.dumps(alarms)}\n"
    project.configure(("deploy:\n", f"deploy:\n  strategy: {{type: blue_green, bake_time: 1h}}\n{settings}"))
    project.commit("2")
    command = project.start("run")
    wait_for(project, "alarm.evaluated")
    assert events(project, "hook.finished") == []
    project.write("bad", "")
    assert "alarm: command test ! -e bad: exit code 1; release 1 is active again" in project.finish(command, code=4).err
    assert project.containers(ROLE_RELEASE) == []
    project.assert_serving(1)


@pytest.mark.long
def test_answers_reach_the_next_daemon(project: Project) -> None:
    """A run whose daemon was killed in a pause asks again. One that was aborted meanwhile is closed."""
    with_hooks(project, "1", {"BeforeInstall": [{"pause": True}]})
    with serving(project) as served:
        served.await_event("deployment.waiting")
        served.kill()
        served.start()
        served.await_event("deployment.waiting", 2)
        project.pipeline("promote")
        assert served.await_run(1).attempts == 2
        project.commit("2")
        served.await_event("deployment.waiting", 3)
        served.kill()
        assert "no process works on the deployment now" in project.pipeline("abort").err
        served.start()
        run = served.await_run(2, RunState.ROLLED_BACK)
        assert (run.attempts, run.reason.partition(" by ")[0]) == (1, "aborted")
        until(lambda: not project.pipeline("status").out.count("waits in Deploy"), "nothing waits")
        # The first attempt of run 1 was release 1.
        project.assert_active(2)


@pytest.mark.long
def test_the_daemon_continues_what_was_promoted(project: Project) -> None:
    """A command is killed in a pause, and a user promotes it. The daemon that starts then continues its deployment."""
    project.pipeline("run")
    hooks = json.dumps({"BeforeAllowTraffic": [{"pause": True}]})
    project.configure(("deploy:\n", f"deploy:\n  strategy: all_at_once\n  hooks: {hooks}\n"))
    project.commit("2")
    command = project.start("run")
    wait_for(project, "deployment.waiting")
    waits = "waits for the pause in BeforeAllowTraffic: pipeline promote, or pipeline abort"
    assert waits in project.pipeline("status").out
    command.kill()
    command.communicate(timeout=COMMAND_TIMEOUT)
    assert "no process works on the deployment now" in project.pipeline("promote").err
    with serving(project) as served:
        run = served.await_run(2)
        assert (run.state, run.attempts) == (RunState.SUCCEEDED, 2)
        assert len(events(project, "deployment.resumed")) == 1
    # The daemon has served no commit before, so it runs that of the branch once more, and finishes that.
    project.assert_serving(2)


@pytest.mark.long
def test_the_circuit_breaker_replaces_containers_that_exit(project: Project, tmp_path: Path) -> None:
    """Two crashes of three allowed ones are survived, and a release that always crashes is rolled back at the third."""
    project.pipeline("run")
    folder = tmp_path / "starts"
    folder.mkdir()
    folder.chmod(0o777)
    script = (
        "ls /starts | wc -l | grep -qx $LIMIT && exec python3 app.py; touch /starts/$(hostname); echo crash; exit 3"
    )
    crashing = (
        "deploy:\n",
        f"deploy:\n  circuit_breaker: true\n  command: [sh, -c, {json.dumps(script)}]\n"
        f'  volumes: ["{folder}:/starts"]\n  environment: {{LIMIT: "2"}}\n',
    )
    with project.load() as load:
        project.configure(crashing)
        project.commit("2")
        project.pipeline("run")
        project.assert_serving(2)
        assert [text.rpartition("; ")[2] for text, _ in events(project, "target.failed")] == [
            "failure 1 of 3",
            "failure 2 of 3",
        ]
        project.configure(crashing, ('LIMIT: "2"', 'LIMIT: "never"'))
        project.commit("3")
        failed = project.pipeline("run", code=4)
        assert "the circuit breaker ended it: 3 of 3 containers failed: " in failed.err
        assert failed.err.count("its container exited with code 3") == 3
        project.assert_serving(2)
        assert load.stop().failed == 0
