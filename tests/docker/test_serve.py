"""The daemon: it runs each new commit once and in order, also across restarts and SIGKILL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pipeline.engine.labels import ROLE_TEST
from pipeline.http.client import Client
from pipeline.store.records import Run, RunState, Trigger
from tests.docker.project import Project, Projects, docker, until
from tests.docker.serving import Serving, serving
from tests.support.waiting import COMMAND_TIMEOUT, DEADLINE

pytestmark = pytest.mark.docker

SLOW_TEST = ("command: [python3, -m, unittest]", "command: [sleep, '300']")


def test_a_commit_is_run_as_it_comes(project: Project) -> None:
    """The daemon runs the existing commit and each later one, and the service always responds."""
    with serving(project) as served:
        first = served.await_run(1)
        assert first.trigger is Trigger.WATCH
        with project.load() as load:
            sha = project.commit("2")
            assert served.await_run(2).sha == sha
            assert load.stop().failed == 0
        project.assert_serving(2)
        _check_what_the_api_shows(project)
        assert served.stop() == 0


def _check_what_the_api_shows(project: Project) -> None:
    """The containers of the service with their targets and their last lines, and the plan of a rollback."""
    client, place = Client(project.home.daemon_socket), f"/v1/pipelines/{project.name}"
    present = {container.name for container in project.containers()}
    (service,) = client.ask("GET", f"{place}/services")
    assert {each["name"] for each in service["replicas"]} == present
    assert {(each["state"], each["target"]) for each in service["replicas"]} == {("running", "healthy")}
    assert (service["healthy"], service["wanted"]) == (2, 2)
    found = client.ask("GET", f"{place}/logs?release=2&tail=1000")
    assert ({line["replica"] for line in found["lines"]}, found["missing"]) == (present, {})
    assert len(client.ask("GET", f"{place}/logs?tail=3")["lines"]) == 3
    plan = client.ask("GET", f"{place}/plan/rollback")
    assert (plan["release"], sum(step.startswith("drain ") for step in plan["deploy"])) == (1, 2)


def test_a_daemon_that_is_started_again_takes_nothing_up_twice(project: Project) -> None:
    """After a restart the daemon repeats no commit, and runs those that came while it was down."""
    with serving(project) as served:
        served.await_run(1)
        served.stop()
        commits = [project.commit(version) for version in ("2", "3", "4")]
        served.start()
        assert served.await_run(4).sha == commits[-1]
        assert [run.sha for run in served.runs()[1:]] == commits
        assert [run.state for run in served.runs()[1:]] == ["superseded", "superseded", "succeeded"]
        project.assert_serving(2)


def test_the_pipeline_file_of_the_commit_is_used(project: Project) -> None:
    """The commit's pipeline.yaml is used. If it is invalid, the run fails with the position, and the release stays."""
    with serving(project) as served:
        served.await_run(1)
        project.configure(("replicas: 2", "replicas: 3"))
        project.commit("2")
        served.await_run(2)
        project.assert_serving(2, replicas=3)
        project.configure(("replicas: 2", "replica: 3"))
        project.commit("3")
        failed = served.await_run(3, RunState.FAILED)
        assert f"{failed.sha[:7]}:pipeline.yaml:7:3: deploy.replica: unknown key" in failed.reason
        project.assert_serving(2, replicas=3)


@pytest.mark.long
def test_a_marked_commit_is_skipped(project: Project) -> None:
    """A commit marked [skip ci] is skipped, with its reason in the history."""
    with serving(project) as served:
        served.await_run(1)
        project.write("notes.txt", "only notes\n")
        project.git("add", "--all")
        project.git("commit", "--quiet", "-m", "Notes [skip ci]")
        assert served.await_run(2, RunState.SKIPPED).reason == "the commit message contains [skip ci]"


@pytest.mark.long
def test_a_newer_commit_takes_the_place_of_one_that_is_tested(project: Project) -> None:
    """A newer commit supersedes a run in Build, whose tests are stopped and removed."""
    with serving(project) as served:
        served.await_run(1)
        project.configure(SLOW_TEST)
        project.commit("2")
        until(lambda: project.containers(ROLE_TEST), "tests that run")
        project.configure()
        project.commit("3")
        served.await_run(3)
        older = served.await_run(2, RunState.SUPERSEDED)
        assert (older.superseded_by, older.reason) == (3, "superseded by run 3")
        project.assert_serving(2)


@pytest.mark.long
def test_a_run_is_cancelled(project: Project) -> None:
    """A cancelled run stops its tests, and the active release stays."""
    with serving(project) as served:
        served.await_run(1)
        project.configure(SLOW_TEST)
        project.commit("2")
        until(lambda: project.containers(ROLE_TEST), "tests that run")
        assert "cancelling run 2" in project.pipeline("cancel", "2").out
        served.await_run(2, RunState.CANCELLED)
        assert project.containers(ROLE_TEST) == []
        project.assert_serving(1)
        assert "run 1 has already finished: succeeded" in project.pipeline("cancel", "1", code=2).err


def test_commands_are_done_by_the_daemon(project: Project) -> None:
    """Commands let the daemon execute their runs, with the same output and exit code."""
    with serving(project) as served:
        served.await_run(1)
        project.commit("2")
        served.await_run(2)
        out = project.pipeline("rollback").out
        assert "run 3: succeeded" in out
        project.assert_serving(1)
        project.configure(("python3, -m, unittest]", "'false']"))
        failed = project.pipeline("run", code=1)
        assert "the tests failed with exit code 1" in failed.err
        assert served.await_run(4, RunState.FAILED).trigger is Trigger.COMMAND
        project.configure()
        project.pipeline("retry", "4")
        assert served.await_run(5).retry_of == 4
        assert "run 5 cannot be retried: its state is succeeded" in project.pipeline("retry", "5", code=2).err
        project.pipeline("down")
        project.assert_gone()


@pytest.mark.long
def test_a_disabled_transition_makes_runs_wait(project: Project) -> None:
    """A disabled transition makes runs wait with its reason, and the newest continues once it is enabled."""
    with serving(project) as served:
        served.await_run(1)
        project.pipeline("transition", "disable", "deploy", "--reason", "audit")
        project.commit("2")
        served.await_event("run.waiting")
        project.commit("3")
        served.await_run(2, RunState.SUPERSEDED)
        served.await_event("run.waiting", 2)
        project.assert_active(1)
        project.pipeline("transition", "enable", "deploy")
        served.await_run(3)
        project.assert_serving(2)


def test_a_run_waits_for_approval(project: Project) -> None:
    """A run waits for approval and fails if rejected. Both survive a restart of the daemon."""
    project.configure(("  target_group: web\n", "  target_group: web\n  approval: {timeout: 1h}\n"))
    project.commit("1")
    with serving(project) as served:
        served.await_event("run.waiting")
        project.pipeline("approve", "1")
        served.await_run(1)
        project.commit("2")
        served.await_event("run.waiting", 2)
        served.kill()
        served.start()
        served.await_event("run.waiting", 3)
        project.pipeline("reject", "2", "--comment", "not on a Friday")
        assert "not on a Friday" in served.await_run(2, RunState.FAILED).reason
        project.assert_active(1)


def test_a_run_continues_after_sigkill_at_any_stage(project: Project) -> None:
    """After SIGKILL the next daemon runs the interrupted run again, and no request is lost."""
    with serving(project) as served:
        served.await_run(1)
        with project.load() as load:
            for number, event in ((2, "test.started"), (3, "container.starting"), (4, "target.draining")):
                project.commit(str(number))
                count = len(served.events(event))
                served.await_event(event, count + 1)
                served.kill()
                served.start()
                assert served.await_run(number).attempts == 2
            assert load.stop().failed == 0
        assert len(served.events("run.interrupted")) == 3
        with project.store() as store:
            active = store.releases.active(project.name)
            assert active is not None
            assert active.sha == served.runs()[-1].sha


def test_shutdown_waits_for_a_deployment(project: Project) -> None:
    """At shutdown a run in Deploy finishes, and a run in Source or Build is requeued."""
    with serving(project) as served:
        served.await_run(1)
        count = len(served.events("container.starting"))
        project.commit("2")
        served.await_event("container.starting", count + 1)
        assert served.stop() == 0
        assert served.runs()[1].state is RunState.SUCCEEDED
        project.configure(SLOW_TEST)
        project.commit("3")
        served.start()
        until(lambda: project.containers(ROLE_TEST), "tests that run")
        assert served.stop() == 0
        assert served.runs()[2].state is RunState.QUEUED
        assert project.containers(ROLE_TEST) == []


def test_a_hook_notifies_the_daemon_and_keeps_the_previous_hook(project: Project) -> None:
    """A hook notifies the daemon, also of commits while it was down, and runs the previous hook too."""
    before = project.directory / ".git" / "hooks" / "post-commit"
    before.parent.mkdir(exist_ok=True)
    before.write_text("#!/bin/sh\necho before >> hooked.txt\n")
    before.chmod(0o755)
    project.configure(("name: shop\n", "name: shop\ntriggers: {watch: false}\n"))
    project.pipeline("hook", "install")
    project.commit("2")
    assert len(list(project.home.spool.iterdir())) == 1
    with serving(project) as served:
        served.await_run(1)
        project.commit("3")
        assert served.await_run(2).trigger is Trigger.HOOK
    assert (project.directory / "hooked.txt").read_text() == "before\nbefore\n"
    project.pipeline("hook", "uninstall")
    assert before.read_text().endswith("hooked.txt\n")


def test_a_push_to_a_bare_repository_deploys_and_can_be_followed(project: Project) -> None:
    """A push shows the output of its run, which uses the pushed pipeline.yaml."""
    bare = project.directory.parent / "bare.git"
    subprocess.run(
        ["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)], check=True, timeout=COMMAND_TIMEOUT
    )
    served_file = project.directory.parent / "served" / "pipeline.yaml"
    served_file.parent.mkdir()
    text = (project.directory / "pipeline.yaml").read_text()
    served_file.write_text(text.replace("name: shop\n", f"name: shop\nsource: {{repository: {bare}}}\n"))
    project.pipeline("hook", "install", str(bare))
    project.git("remote", "add", "origin", str(bare))
    with serving(project, str(served_file)) as served:
        pushed = subprocess.run(
            ["git", "push", "-o", "follow", "origin", "main"],
            cwd=project.directory,
            env=project.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        served.await_run(1)
        assert "run 1: succeeded" in pushed.stderr
        project.assert_serving(1)


def test_two_pipelines_are_served_by_one_process(projects: Projects) -> None:
    """One daemon runs two pipelines with separate queues."""
    shop, blog = projects("shop"), projects("blog")
    with serving(shop, str(shop.directory / "pipeline.yaml"), str(blog.directory / "pipeline.yaml")) as served:
        served.await_run(1)
        Serving(blog).await_run(1)
        shop.assert_serving(1)
        blog.assert_serving(1)


def test_a_second_daemon_is_refused(project: Project) -> None:
    """A second daemon fails with the pid of the first."""
    with serving(project) as served:
        served.await_run(1)
        refused = project.pipeline("serve", code=3)
        assert f"pipeline serve (pid {served.pid}) has been running since" in refused.err


def test_a_changed_file_is_reloaded(project: Project) -> None:
    """A changed file is reloaded, also by SIGHUP. An invalid one is reported, and the previous one is kept."""
    with serving(project) as served:
        served.await_run(1)
        project.configure(("name: shop\n", "nam: shop\n"))
        assert "unknown key (did you mean name?)" in served.await_event("config.rejected").message
        project.configure(("name: shop\n", "name: shop\nexecution_mode: queued\n"))
        served.await_event("config.reloaded")
        os.kill(served.pid, signal.SIGHUP)
        served.await_event("config.reloaded", 2)


@pytest.mark.long
def test_parallel_runs_are_deployed_in_the_order_of_their_commits(project: Project) -> None:
    """Parallel runs deploy in commit order even if the older one builds longer."""
    project.configure(("name: shop\n", "name: shop\nexecution_mode: parallel\n"))
    project.commit("1")
    with serving(project) as served:
        served.await_run(1)
        slow = ("command: [python3, -m, unittest]", "command: [sleep, '2']")
        project.configure(("name: shop\n", "name: shop\nexecution_mode: parallel\n"), slow)
        older = project.commit("2")
        served.await_event("test.started", 2)
        project.configure(("name: shop\n", "name: shop\nexecution_mode: parallel\n"))
        newer = project.commit("3")
        served.await_run(3)
        with project.store() as store:
            assert [r.sha for r in store.releases.all(project.name)[:2]] == [newer, older]
        project.assert_serving(3)
    assert (
        docker("ps", "-q", "--filter", "label=penstock.role=test", "--filter", f"label=penstock.home={project.home.id}")
        == ""
    )


def test_a_remote_is_polled(project: Project) -> None:
    """A remote repository is polled, and its absence is reported once."""
    place = project.directory.parent / "remote.git"
    project.git("clone", "--quiet", "--bare", ".", str(place))
    project.configure(
        ("name: shop\n", f"name: shop\nsource: {{repository: 'file://{place}'}}\ntriggers: {{poll: 1s}}\n")
    )
    with serving(project) as served:
        assert served.await_run(1).trigger is Trigger.POLL
        place.rename(place.with_name("away.git"))
        served.await_event("trigger.failed")
        place.with_name("away.git").rename(place)
        sha = project.commit("2")
        project.git("push", "--quiet", str(place), "main")
        assert served.await_run(2).sha == sha
        assert len(served.events("trigger.failed")) == 1


def _scheduled(served: Serving) -> list[Run]:
    return [run for run in served.runs() if run.trigger is Trigger.SCHEDULE and run.state is RunState.SUCCEEDED]


@pytest.mark.long
def test_a_schedule_runs_though_nothing_is_new(project: Project) -> None:
    """A schedule starts runs without a new commit, and they reuse the built image."""
    project.configure(("name: shop\n", "name: shop\ntriggers: {schedule: ['* * * * *']}\n"))
    project.commit("1")
    with serving(project) as served:
        # A minute may begin before the run of the first commit has ended.
        until(lambda: _scheduled(served), "a run of the schedule", deadline=150)
        assert {run.sha for run in served.runs()} == {project.git("rev-parse", "HEAD").strip()}
        assert len(served.events("test.started")) == 1
        project.assert_serving(1)


@pytest.mark.long
def test_several_branches_and_tags_are_run(project: Project) -> None:
    """Only the branches and tags of the triggers are run."""
    project.configure(("name: shop\n", "name: shop\ntriggers: {branches: ['release/*'], tags: ['v*']}\n"))
    project.commit("1")
    with serving(project) as served:
        # A tag that matches before the first scan is not new.
        served.await_event("trigger.no_refs")
        project.git("branch", "other")
        project.git("branch", "release/1")
        assert served.await_run(1).ref == "release/1"
        project.commit("2")
        project.git("tag", "-a", "v2", "-m", "Version 2")
        second = served.await_run(2)
        assert (second.ref, second.sha) == ("v2", project.git("rev-parse", "HEAD").strip())
        project.git("branch", "--delete", "--force", "release/1")
        project.git("branch", "release/1")
        assert served.await_run(3).ref == "release/1"
        assert len(served.runs()) == 3


def test_parameters_of_a_command_count_for_the_daemon(project: Project) -> None:
    """Parameters of a command apply to the daemon's run, and mistakes in them fail the command."""
    project.configure(
        ("name: shop\n", "name: shop\nparameters: {n: {type: integer, default: 2}}\n"),
        ("replicas: 2", "replicas: ${n}"),
    )
    project.commit("1")
    with serving(project) as served:
        served.await_run(1)
        project.pipeline("run", "-p", "n=3", "--force")
        assert len(project.containers()) == 3
        assert "nosuch" in project.pipeline("run", "nosuch", code=2).err


def test_a_repository_that_comes_later_is_served(project: Project) -> None:
    """The daemon waits for a repository that does not exist yet, and reports it."""
    git = project.directory / ".git"
    git.rename(project.directory / "away")
    with serving(project) as served:
        served.await_event("serve.failed")
        (project.directory / "away").rename(git)
        served.await_run(1)


@pytest.mark.long
def test_going_back_is_possible_while_a_run_waits_for_approval(project: Project) -> None:
    """A rollback passes a run that waits for approval, which continues once it is approved."""
    with serving(project) as served:
        served.await_run(1)
        project.commit("2")
        served.await_run(2)
        project.configure(("  target_group: web\n", "  target_group: web\n  approval: {timeout: 1h}\n"))
        project.commit("3")
        served.await_event("run.waiting")
        project.pipeline("rollback")
        project.assert_active(1)
        project.pipeline("approve", "3")
        served.await_run(3)
        project.assert_serving(3)


@pytest.mark.long
def test_a_cancelled_run_is_not_requeued(project: Project) -> None:
    """A cancelled run is not requeued, even if the daemon stops first."""
    with serving(project) as served:
        served.await_run(1)
        project.configure(
            ("command: [python3, -m, unittest]", "command: [sh, -c, 'trap : TERM; sleep 300 & wait; wait']")
        )
        project.commit("2")
        until(lambda: project.containers(ROLE_TEST), "tests that run")
        project.pipeline("cancel", "2")
        served.stop()
        assert served.runs()[1].state is RunState.CANCELLED


def test_the_daemon_survives_a_closed_output(project: Project) -> None:
    """The daemon keeps running when its output is closed."""
    reader = subprocess.Popen(["head", "-n", "1"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli.main", "serve"],
        cwd=project.directory,
        env=project.environment,
        stdout=reader.stdin,
        stderr=subprocess.DEVNULL,
    )
    try:
        Serving(project).await_run(1)
        assert reader.stdin is not None
        reader.stdin.close()
        reader.wait(timeout=DEADLINE)
        project.commit("2")
        Serving(project).await_run(2)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=DEADLINE)
