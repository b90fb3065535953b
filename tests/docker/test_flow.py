"""The commands from a commit to an active release, under load, as a user sees them."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from pipeline.balancer.model import TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.engine.container import Container
from pipeline.engine.hosts import local_engine
from pipeline.engine.interfaces import Engine
from pipeline.store.records import ReleaseState, RunState
from tests.docker.docker_cli import kill_process
from tests.docker.get import get, try_get
from tests.docker.project import Project, Projects, docker, haproxy_processes, until
from tests.support.waiting import DEADLINE

pytestmark = pytest.mark.docker


class Watcher:
    """Polls the containers and the targets as often as it can, and records the extremes."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most_running = 0
        self.min_healthy_targets = 10**6
        self.polls = 0

    def _watch(self) -> None:
        balancer = open_balancer(self._project.home.balancer)
        with local_engine(self._project.home.id) as engine:
            while not self._ended.is_set():
                running = sum(c.state == "running" for c in engine.containers.for_pipeline(self._project.name))
                healthy = sum(h.state is TargetState.HEALTHY for h in balancer.target_health(self._project.name, "web"))
                self.most_running = max(self.most_running, running)
                self.min_healthy_targets = min(self.min_healthy_targets, healthy)
                self.polls += 1

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def test_a_commit_becomes_a_release(service: Project) -> None:
    """A commit is built from its own files, tested and rolled out without a lost request, with events in order."""
    service.write(".dockerignore", "ignored*\n")
    service.write("ignored.txt", "not either")
    sha = service.commit("2")
    service.write("version.txt", "3-not-committed\n")
    with service.load() as load:
        out = service.pipeline("run").out
        until(lambda: "sample-app 2" in get(service), "version 2 answers")
        report = load.stop()
    assert report.failed == 0, report.failures
    service.assert_serving(release=2)
    assert "1 uncommitted change in the checkout: not part of this run" in out
    image = json.loads(docker("image", "inspect", service.containers()[0].image))[0]
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == sha
    assert labels["org.opencontainers.image.version"] == sha[:7]
    assert labels["org.opencontainers.image.source"] == f"{service.directory}/.git"
    assert labels["penstock.pipeline"] == "shop"
    files = docker("run", "--rm", "--entrypoint", "ls", image["Id"], "/app").split()
    assert "ignored.txt" not in files
    assert "Ran 5 tests" in service.pipeline("logs").out


def test_each_replacement_keeps_to_the_contract(service: Project) -> None:
    """An old replica is drained only once a new one is healthy, and is removed only after that."""
    service.commit("2")
    service.pipeline("run")
    events = [json.loads(line) for line in service.pipeline("events", "--json").out.splitlines()]
    steps = [(e["kind"], e["target"]) for e in events if e["run"] == 2 and "target" in e]
    order = {step: position for position, step in enumerate(steps)}
    new = [name for kind, name in steps if kind == "container.starting"]
    old = [name for kind, name in steps if kind == "target.draining"]
    assert len(new) == len(old) == 2
    for started, replaced in zip(new, old, strict=True):
        moments = [
            ("container.starting", started),
            ("container.started", started),
            ("target.registered", started),
            ("target.healthy", started),
            ("target.draining", replaced),
            ("container.stopping", replaced),
            ("container.stopped", replaced),
            ("container.removed", replaced),
        ]
        positions = [order[moment] for moment in moments]
        assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("surge", "unavailable", "floor", "ceiling"),
    [
        ("1", "0", 3, 4),
        pytest.param("0", "1", 2, 3, marks=pytest.mark.long),
        pytest.param("100%", "0", 3, 6, marks=pytest.mark.long),
        pytest.param("0", "67%", 1, 3, marks=pytest.mark.long),
    ],
)
def test_the_healthy_and_the_running_stay_within_their_bounds(
    surge: str, unavailable: str, floor: int, ceiling: int, projects: Projects
) -> None:
    """Healthy and running replicas stay within their bounds during a rollout under load."""
    project = projects(replicas=3)
    rolling = f"rolling: {{max_surge: {surge}, max_unavailable: {unavailable}}}"
    project.configure(("replicas: 3", f"replicas: 3\n  {rolling}"))
    project.commit("1")
    project.pipeline("run")
    plan = project.pipeline("plan").out
    assert "nothing to do: the wanted release is already active" in plan
    project.commit("2")
    with project.load() as load, Watcher(project) as watcher:
        project.pipeline("run")
        report = load.stop()
    assert watcher.polls > 50
    assert watcher.min_healthy_targets >= floor
    assert watcher.most_running <= ceiling
    assert report.failed == 0, report.failures
    project.assert_serving(release=2)


def test_a_changed_listener_is_planned_and_changed(service: Project) -> None:
    """A changed listener changes no target. The pipeline.yaml of the working directory is used, committed or not."""
    before = {c.name for c in service.containers()}
    service.take_port()
    service.configure()
    assert "reload the balancer: its target groups or listeners change" in service.pipeline("plan").out
    out = service.pipeline("run").out
    assert "not part of this run" not in out
    assert f"release 2 is active with 2 targets at http://localhost:{service.port}" in out
    assert "sample-app 1" in get(service)
    assert {c.name for c in service.containers()} == before


def test_plan_prints_what_run_does(service: Project) -> None:
    """`plan` prints the actions of `run` and changes no image, container or row."""
    service.commit("2")
    ours = ("--filter", f"label=penstock.home={service.home.id}")
    images = docker("image", "ls", "--format", "{{.ID}} {{.Tag}}", *ours)
    plan = service.pipeline("plan").out
    assert docker("image", "ls", "--format", "{{.ID}} {{.Tag}}", *ours) == images
    assert [line.split()[0] for line in plan.splitlines() if line.startswith("  ")] == [
        "run", "build", "test", "start", "wait", "drain", "stop", "start", "wait", "drain", "stop", "healthy",
    ]  # fmt: skip
    assert plan.endswith("healthy targets: the rollout keeps at least 2; containers: at most 3\n")
    with service.store() as store:
        assert [r.number for r in store.runs.latest("shop")] == [1]


def test_the_same_tree_is_not_built_again(service: Project) -> None:
    """A commit with unchanged files reuses the image that was built and tested before."""
    service.git("commit", "--quiet", "--allow-empty", "-m", "Nothing")
    before = {c.name for c in service.containers()}
    out = service.pipeline("run").out
    assert "already built and tested from tree" in out
    assert "Deploy: release 2 is active with 2 targets" in out
    assert {c.name for c in service.containers()} == before


SCALABLE = (
    ("name: shop\n", "name: shop\nparameters: {replicas: {type: integer, default: 2}}\n"),
    ("replicas: 2\n  deploy", "replicas: ${replicas}\n  deploy"),
)


def test_replicas_up_and_down_keep_the_containers_that_stay(project: Project) -> None:
    """Scaling starts or drains the difference, leaves the other containers alone, and makes no release."""
    project.configure(*SCALABLE)
    project.commit("1")
    project.pipeline("run")
    before = {c.name for c in project.containers()}
    with project.load() as load:
        project.pipeline("run", "-p", "replicas=4")
        assert before < {c.name for c in project.containers()}
        project.pipeline("run", "-p", "replicas=1")
        after = {c.name for c in project.containers()}
        report = load.stop()
    assert after < before
    assert report.failed == 0, report.failures
    project.assert_serving(release=1, replicas=1)
    with project.store() as store:
        assert [r.number for r in store.releases.all("shop")] == [1]


@pytest.mark.long
def test_a_rollback_keeps_the_number_of_replicas(project: Project) -> None:
    """Whatever number its release had. A failed change of the number restores the previous one."""
    project.configure(*SCALABLE)
    project.commit("1")
    project.pipeline("run", "-p", "replicas=1")
    project.commit("2")
    project.pipeline("run", "-p", "replicas=3")
    with project.load() as load:
        out = project.pipeline("rollback").out
        assert "release 1 is active with 3 targets" in out
        project.assert_serving(release=1, replicas=3)
        project.crash("container.started", "run", "--force", "-p", "replicas=4")
        assert "recovered: release 1 is active" in project.pipeline("recover").out
        project.assert_serving(release=1, replicas=3)
        report = load.stop()
    assert report.failed == 0, report.failures


def test_a_change_of_the_environment_replaces_them(service: Project) -> None:
    """A changed environment replaces all containers."""
    service.configure(("replicas: 2", "replicas: 2\n  environment: {GREETING: hello}"))
    service.commit()
    before = {c.name for c in service.containers()}
    service.pipeline("run")
    assert before.isdisjoint({c.name for c in service.containers()})
    environment = json.loads(docker("inspect", service.containers()[0].id))[0]["Config"]["Env"]
    assert "GREETING=hello" in environment


def test_a_release_that_fails_is_rolled_back(service: Project) -> None:
    """A failed release ends with exit code 4 and a reason. The previous release is active, and no request is lost."""
    service.configure(("deploy_timeout: 20s", "deploy_timeout: 4s"))
    service.commit("2-broken")
    with service.load() as load:
        result = service.pipeline("run", code=4)
        report = load.stop()
    # On a busy machine the first check may have had no response at all.
    assert re.search(
        r"Health checks failed( with these codes: \[500\]|: unexpected status code); release 1 is active again",
        result.err,
    )
    assert report.failed == 0, report.failures
    service.assert_serving(release=1)
    with service.store() as store:
        assert store.runs.latest("shop", 1)[0].state is RunState.ROLLED_BACK


def test_rolling_back_by_hand(service: Project) -> None:
    """`rollback` deploys the previous release, or any that is kept, and names a pruned one."""
    service.configure(("replicas: 2", "replicas: 2\n  retain: 2"))
    for version in "234":
        service.commit(version)
        service.pipeline("run")
    before = sorted(container.name for container in service.containers())
    planned = json.loads(service.pipeline("rollback", "--plan", "--json").out)
    steps = planned["deploy"]
    assert planned["release"] == 3
    assert sorted(step.removeprefix("drain ") for step in steps if step.startswith("drain ")) == before
    assert steps[-1] == "healthy targets: the rollout keeps at least 2; containers: at most 3"
    assert sorted(container.name for container in service.containers()) == before
    with service.load() as load:
        service.pipeline("rollback")
        assert "sample-app 3" in get(service)
        service.pipeline("rollback", "4")
        assert "sample-app 4" in get(service)
        assert load.stop().failed == 0
    compared = json.loads(service.pipeline("releases", "compare", "2", "--json").out)
    assert [len(compared[side]) for side in ("added", "removed", "images", "configuration")] == [2, 0, 1, 0]
    for options in ((), ("--plan",)):
        result = service.pipeline("rollback", "1", *options, code=2)
        assert result.err.startswith(
            "error: the image of release 1 is gone\nhint: deploy.retain keeps the latest, and `pipeline down` none;"
        )
    service.assert_serving(release=4)
    with service.store() as store:
        assert [r.state for r in store.releases.all("shop")] == [
            ReleaseState.ACTIVE,
            ReleaseState.RETIRED,
            ReleaseState.RETIRED,
            ReleaseState.RETIRED,
        ]


def test_down_takes_everything_of_this_pipeline_and_nothing_else(projects: Projects) -> None:
    """`down` leaves the containers, targets, network and images of another pipeline alone."""
    shop, blog = projects("shop"), projects("blog")
    shop.pipeline("run")
    blog.pipeline("run")
    stranger = docker("run", "-d", "--label", "penstock.pipeline=shop", shop.base_image, "sleep", "100").strip()
    try:
        with blog.load() as load:
            shop.pipeline("down")
            report = load.stop()
        assert report.failed == 0, report.failures
        shop.assert_gone()
        blog.assert_serving(release=1)
        assert docker("inspect", "-f", "{{.State.Running}}", stranger).strip() == "true"
        ours = ("--filter", f"label=penstock.home={shop.home.id}", "--filter", "label=penstock.pipeline=shop")
        assert docker("image", "ls", "-q", *ours) == ""
    finally:
        docker("rm", "-f", stranger)


def test_two_pipelines_share_the_balancer_and_nothing_else(projects: Projects) -> None:
    """Deployments, failures and `down` of one pipeline cost the other no request."""
    shop, blog = projects("shop"), projects("blog")
    blog.pipeline("run")
    with blog.load(rate=100) as load:
        shop.pipeline("run")
        shop.commit("2")
        shop.pipeline("run")
        shop.configure(("deploy_timeout: 20s", "deploy_timeout: 1s"))
        shop.commit("3-broken")
        shop.pipeline("run", code=4)
        shop.pipeline("down")
        report = load.stop()
    assert report.failed == 0, report.failures
    assert report.longest_gap - report.late < 1000, report
    blog.assert_serving(release=1)
    shop.assert_gone()


def test_two_commands_at_once(service: Project) -> None:
    """A second command fails with the pid and start of the first. With --wait it runs afterwards."""
    service.commit("2")
    first = service.start("run")
    assert first.stdout is not None
    line = first.stdout.readline()
    result = service.pipeline("run", code=3)
    waiting = service.start("run", "--wait", "1m")
    service.finish(first)
    service.finish(waiting)
    assert "run 2 of shop" in line
    assert result.err.startswith(f"error: run of shop (pid {first.pid}) has been running since 20")
    assert "\nhint: wait for it with --wait 10m" in result.err
    service.assert_serving(release=2)


def test_cancelling_restores_the_previous_release(service: Project) -> None:
    """Ctrl-C during a rollout restores the previous release, exits with 130 and loses no request."""
    service.commit("2")
    with service.load() as load:
        run = service.start("run")
        assert run.stdout is not None
        assert any("is healthy and gets requests" in line for line in run.stdout)
        run.send_signal(signal.SIGINT)
        result = service.finish(run, code=130)
        report = load.stop()
    assert re.search("cancelled by .+; release 1 is active again", result.err)
    assert report.failed == 0, report.failures
    service.assert_serving(release=1)


def test_a_request_in_flight_is_finished_before_its_target_is_stopped(service: Project) -> None:
    """A deployment waits for a slow request within the deregistration delay."""
    service.commit("2")
    answers: list[str] = []
    slow = [threading.Thread(target=lambda: answers.append(get(service, "/slow?ms=4000"))) for _ in range(4)]
    for thread in slow:
        thread.start()
    until(lambda: sum(h.in_flight for h in service.targets()) == 4, "four requests are in flight")
    service.pipeline("run")
    for thread in slow:
        thread.join()
    assert answers == ["at last\n"] * 4


def test_after_the_delay_a_request_is_aborted_and_reported(service: Project) -> None:
    """After the deregistration delay an open request is aborted, and an event reports it."""
    service.configure(("deregistration_delay: 10s", "deregistration_delay: 1s"), ("stop_grace: 5s", "stop_grace: 1s"))
    service.commit()
    service.pipeline("run")
    ended: list[object] = []

    def ask() -> None:
        try:
            ended.append(get(service, "/slow?ms=60000"))
        except OSError as error:
            ended.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: sum(h.in_flight for h in service.targets()) == 1, "the request is in flight")
    service.commit("2")
    out = service.pipeline("run").out
    thread.join()
    assert "deregistration delay of 1 s expired, aborted 1 in flight" in out
    assert isinstance(ended[0], OSError)


def test_a_target_that_dies_costs_no_idempotent_request(projects: Projects) -> None:
    """Requests of a dead target go to another one, and Docker restarts the container."""
    service = projects(replicas=3)
    service.pipeline("run")
    with service.load(posts=0) as load, local_engine(service.home.id) as engine:
        for _ in range(3):
            victim = engine.containers.inspect(service.containers()[0].id)
            kill_process(victim.id)
            until(partial(_restarted, engine, victim), "Docker has restarted it")
            until(lambda: {h.state for h in service.targets()} == {TargetState.HEALTHY}, "all are healthy")
        report = load.stop()
    assert report.failed == 0, report.failures
    service.assert_serving(release=1)


def test_the_log_of_a_container_is_bounded(service: Project) -> None:
    """Docker keeps at most what deploy.log says. A change of it replaces nothing."""
    limits = ("inspect", "--format", "{{json .HostConfig.LogConfig}}")
    (before, *_) = service.containers()
    assert json.loads(docker(*limits, before.id)) == {
        "Type": "json-file",
        "Config": {"max-file": "5", "max-size": "10485760"},
    }
    service.configure(("replicas: 2", "replicas: 3\n  log: {max_size: 1MiB, max_files: 2}"))
    service.pipeline("run")
    found = {c.name: json.loads(docker(*limits, c.id))["Config"]["max-size"] for c in service.containers()}
    assert sorted(found.values(), key=int) == ["1048576", "10485760", "10485760"]
    assert found[before.name] == "10485760"


def test_rules_on_a_port_that_nobody_owns_are_reported(service: Project, projects: Projects) -> None:
    """Run, plan and status say that they receive nothing, and the owner's down says whose rules it darkens."""
    guest = projects("guest", replicas=1)
    rule = "rules: [{priority: 7, conditions: [{path_pattern: [/guest]}], action: {forward: web}}]"
    guest.configure((f"port: {guest.port}", f"port: {service.port}"), ("default_action: {forward: web}", rule))
    service.pipeline("down")
    said = f"port {service.port} of load balancer edge of guest receives no requests"
    assert said in guest.pipeline("plan").out
    out = guest.pipeline("run").out
    assert said in out
    assert "is active with 1 target and receives no requests" in out
    assert said in guest.pipeline("status").out

    service.pipeline("run")
    assert "receives no requests" not in guest.pipeline("status").out
    lines = service.pipeline("down").out.splitlines()
    (warned,) = (number for number, line in enumerate(lines) if f"after this, {said}" in line)
    assert warned < min(number for number, line in enumerate(lines) if "gets no more requests" in line)
    assert said in guest.pipeline("status").out


def _restarted(engine: Engine, victim: Container) -> bool:
    return engine.containers.inspect(victim.id).pid not in (0, victim.pid)


@pytest.mark.parametrize("which", ["master", pytest.param("worker", marks=pytest.mark.long)])
def test_a_killed_balancer_is_started_by_the_next_command(which: str, service: Project) -> None:
    """The next command restarts a killed balancer with the same targets, and reports the restart."""
    os.kill(haproxy_processes(service.home)[which], signal.SIGKILL)
    until(lambda: not try_get(service), "the balancer is gone")
    started = time.monotonic()
    assert "the balancer is not running: run `pipeline recover`" in service.pipeline("status").out
    # `plan` assumes that the balancer runs, because a run would start it first.
    assert "nothing to do" in service.pipeline("plan").out
    assert not try_get(service)
    out = service.pipeline("recover").out
    assert time.monotonic() - started < DEADLINE
    assert "the balancer was not running: restarted" in out
    assert "sample-app 1" in get(service)
    until(lambda: {h.state for h in service.targets()} == {TargetState.HEALTHY}, "both are healthy")
    service.assert_serving(release=1)


@contextmanager
def secret_file(project: Project, value: str) -> Iterator[None]:
    path = project.directory / ".secrets"
    path.touch(mode=0o600)
    path.write_text(f"PASSWORD={value}\n")
    yield
    path.unlink()


def test_a_secret_is_in_the_container_and_nowhere_else(service: Project) -> None:
    """A secret is in no file, label, argument or output, and only commands that start containers need it."""
    value = "correct-horse-battery"
    service.write(".gitignore", ".secrets\n")
    service.configure(
        ("name: shop\n", "name: shop\nsecrets: {file: .secrets}\n"),
        ("[python3, -m, unittest]", "[sh, -c, 'echo it is $PASSWORD; env']"),
        ("timeout: 30s}", "timeout: 30s, environment: {PASSWORD: '${secret:PASSWORD}'}}"),
        ("replicas: 2", "replicas: 2\n  environment: {PASSWORD: '${secret:PASSWORD}'}"),
    )
    service.commit("2")
    with secret_file(service, value):
        result = service.pipeline("run")
        shown = result.out + result.err + service.pipeline("logs").out + service.pipeline("events").out
    assert "it is ***" in shown
    service.configure(
        ("name: shop\n", "name: shop\nsecrets: {file: .secrets}\n"),
        ("[python3, -m, unittest]", "[sh, -c, 'echo now it is $PASSWORD; exit 1']"),
        ("timeout: 30s}", "timeout: 30s, environment: {PASSWORD: '${secret:PASSWORD}'}}"),
    )
    with secret_file(service, value):
        assert "now it is ***" in service.pipeline("run", code=1).err
    assert value not in shown
    inspected = json.loads(docker("inspect", service.containers()[0].id))[0]
    assert f"PASSWORD={value}" in inspected["Config"]["Env"]
    assert value not in json.dumps({**inspected, "Config": {**inspected["Config"], "Env": []}})
    assert value not in docker("image", "inspect", inspected["Image"])
    holding = [p for p in service.home.root.rglob("*") if p.is_file() and value.encode() in p.read_bytes()]
    assert holding == []
    connection = sqlite3.connect(service.home.database)
    assert value not in "".join(connection.iterdump())
    connection.close()
    assert "release 2" in service.pipeline("status").out
    service.pipeline("down")
    service.assert_gone()


@pytest.mark.long
def test_paths_that_did_not_change_make_no_run(service: Project) -> None:
    """A commit outside source.paths makes no run, unless it is forced, the configuration changed, or none is active."""
    service.configure(("name: shop\n", "name: shop\nsource: {paths: [app.py, version.txt]}\n"))
    service.commit()
    out = service.pipeline("run").out
    assert "changes nothing under app.py, version.txt since release 1 (--force runs it)" in out
    with service.store() as store:
        assert [(r.number, r.state) for r in store.runs.latest("shop")] == [
            (2, RunState.SKIPPED),
            (1, RunState.SUCCEEDED),
        ]
    service.pipeline("run", "--force")
    service.assert_serving(release=2)
    service.configure(
        ("name: shop\n", "name: shop\nsource: {paths: [app.py, version.txt]}\n"), ("replicas: 2", "replicas: 3")
    )
    service.pipeline("run")
    assert len(service.containers()) == 3
    service.pipeline("down")
    service.pipeline("run")
    service.assert_serving(release=3, replicas=3)


def test_a_rollback_uses_the_secrets_of_its_release(service: Project) -> None:
    """A rollback uses the secrets of the previous release. If one is missing, it fails, and a later run works."""
    old = ("replicas: 2", "replicas: 2\n  environment: {A: '${secret:OLD}'}")
    service.configure(old)
    service.pipeline("run", OLD="old-value")
    service.configure(("replicas: 2", "replicas: 2\n  environment: {A: '${secret:NEW}'}"), ("20s", "1s"))
    service.commit("2-broken")
    service.pipeline("run", code=4, OLD="old-value", NEW="new-value")
    service.assert_serving(release=2)
    assert "secret OLD is neither" in service.pipeline("run", code=5, NEW="new-value").err
    service.configure(old)
    service.commit("3")
    service.pipeline("run", OLD="old-value")
    service.assert_serving(release=5)


def test_a_foreign_container_in_the_network_is_left_alone(service: Project) -> None:
    """The address of a foreign container in the network is not reused, and `down` reports that the network stays."""
    network = f"penstock-{service.home.id[:6]}-{service.name}"
    stranger = docker("run", "-d", "--network", network, service.base_image, "sleep", "100").strip()
    try:
        service.commit("2")
        service.pipeline("run")
        service.assert_serving(release=2)
        assert "the network stays: Docker: " in service.pipeline("down").out
    finally:
        docker("rm", "-f", stranger)
    service.pipeline("down")
    service.assert_gone()


def test_two_files_with_one_name(projects: Projects) -> None:
    """A second file with the same name is rejected unless `--take-over` is given."""
    shop, other = projects("shop"), projects("blog")
    shop.pipeline("run")
    other.name = "shop"
    other.configure()
    for command in ("plan", "run", "down"):
        result = other.pipeline(command, code=2)
        assert f"shop is the pipeline of {shop.directory}/pipeline.yaml, and this is {other.directory}" in result.err
    shop.assert_serving(release=1)
    other.pipeline("run", "--take-over")
    assert shop.pipeline("run", code=2).err.startswith("error: shop is the pipeline of")
    shop.write("pipeline.yaml", "name: former-shop\n")
    other.pipeline("down")
    other.assert_gone()


def test_an_invalid_file_does_not_hide_the_active_release(service: Project) -> None:
    """`status` and `history` work while pipeline.yaml is invalid."""
    service.configure(("replicas: 2", "replicsa: 2"))
    status = service.pipeline("status")
    assert "shop: release 1" in status.out
    assert "pipeline.yaml is invalid" in status.err
    assert "Ran 5 tests" in service.pipeline("logs").out
    assert "succeeded" in service.pipeline("history").out
    assert "active" in service.pipeline("releases").out
    assert "run 1: succeeded" in service.pipeline("events").out
    assert "unknown key" in service.pipeline("down", code=2).err
    service.configure()


def test_a_run_continues_when_its_output_is_closed(service: Project) -> None:
    """`pipeline run | head -1` completes the deployment."""
    service.commit("2")
    with service.start("run") as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.stdout.close()
    assert run.returncode == 0
    service.assert_serving(release=2)


def test_a_second_interrupt_leaves_at_once(service: Project) -> None:
    """After a second interrupt, the next command recovers."""
    service.configure(("deploy_timeout: 20s", "deploy_timeout: 60s"))
    service.commit("2-broken")
    run = service.start("run")
    assert run.stdout is not None
    assert any("waiting for its health checks" in line for line in run.stdout)
    assert run.stderr is not None
    run.send_signal(signal.SIGINT)
    assert run.stderr.readline().startswith("cancelling …")
    run.send_signal(signal.SIGINT)
    service.finish(run, code=130)
    service.pipeline("recover")
    service.assert_serving(release=1)


def test_history_shows_the_runs(service: Project) -> None:
    """`history` prints the runs as text and as JSON."""
    service.configure(("deploy_timeout: 20s", "deploy_timeout: 1s"))
    service.commit("2-broken")
    service.pipeline("run", code=4)
    rows = json.loads(service.pipeline("history", "--json").out)
    assert [(r["number"], r["state"]) for r in rows] == [(2, "rolled_back"), (1, "succeeded")]
    releases = json.loads(service.pipeline("releases", "--json").out)
    assert [(r["number"], r["state"]) for r in releases] == [(2, "failed"), (1, "active")]
    status = service.pipeline("status").out
    assert "shop: release 1" in status
    assert f"edge: http://localhost:{service.port} → web" in status


def test_targets_by_published_port(project: Project) -> None:
    """With target_type instance a container is reached by a published port, and a rollout loses no request."""
    project.configure(("      port: 8080", "      target_type: instance\n      port: 8080"))
    project.commit("1")
    project.pipeline("run")
    assert {h.target.address for h in project.targets()} == {"127.0.0.1"}
    with project.load() as load:
        project.commit("2")
        project.pipeline("run")
        report = load.stop()
    assert report.failed == 0, report.failures
    assert "sample-app 2" in get(project)
    project.assert_serving(release=2)


def test_a_protected_load_balancer_stays(project: Project) -> None:
    """Deletion protection rejects `down` and a pipeline.yaml without the load balancer before anything changes."""
    edge = f"      listeners: [{{port: {project.port}, default_action: {{forward: web}}}}]\n"
    protected = "      attributes: {deletion_protection.enabled: true}\n"
    project.configure((edge, edge + protected))
    project.commit("1")
    project.pipeline("run")
    refusal = "error: load balancer edge of shop is protected against deletion"
    assert refusal in project.pipeline("down", code=2).err
    project.configure(("    edge:\n", "    other:\n"))
    project.commit("2")
    assert refusal in project.pipeline("run", code=2).err
    project.assert_serving(release=1)
    project.configure()
    project.commit("3")
    project.pipeline("run")
    project.pipeline("down")
    project.assert_gone()


def test_a_function(project: Project) -> None:
    """deploy.function puts a Python function of the image behind the balancer, and its rollout loses no request."""
    function = """\
def handler(event, context):
    if event["httpMethod"] == "POST":
        return {{"statusCode": 200, "body": event["body"], "isBase64Encoded": event["isBase64Encoded"]}}
    return {{"statusCode": 200, "body": "{}: " + event["path"]}}
"""
    project.configure(
        ("      port: 8080\n", "      target_type: lambda\n      port: 9000\n"),
        ("{path: /healthz, interval: 200ms}", "{interval: 200ms}"),
        ("  target_group: web\n", "  target_group: web\n  function: shop.handler\n"),
        ("stop_grace: 5s", "stop_grace: 1s"),
    )
    project.write("shop.py", function.format("one"))
    project.commit("1")
    project.pipeline("run")
    assert get(project, "/cart") == "one: /cart"
    with project.load() as load:
        project.write("shop.py", function.format("two"))
        project.commit("2")
        project.pipeline("run")
        report = load.stop()
    assert report.failed == 0, report.failures
    assert get(project, "/cart") == "two: /cart"
    project.assert_serving(release=2)
    project.pipeline("down")
    project.assert_gone()
