"""`pipeline status` and `pipeline history`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pipeline.acme.state import CertificateFiles, CertificateState
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Declaration, Target
from pipeline.balancer.model.acme import AcmeCertificate
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import EngineFault, SystemFault
from pipeline.base.home import Home
from pipeline.base.lock import is_stopped, work_lock
from pipeline.cli import history, recover, status, transition
from pipeline.engine import hosts
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.container import ContainerSpec, HealthProbe
from pipeline.engine.host import HostSpec
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, LABEL_SERVICE, ROLE_APP, ROLE_CONSOLE
from pipeline.events import Event
from pipeline.http.client import Daemon
from pipeline.http.status_report import StatusReport
from pipeline.runner.engine_view import EngineView
from pipeline.store.deployment_progress import ServiceProgress, ShiftPhase
from pipeline.store.queue import RunRequest
from pipeline.store.records import ApprovalDecision, DeploymentState, Run, RunState, Trigger
from pipeline.store.store import Store
from pipeline.testing.fakes.console import FakeConsole
from pipeline.testing.fakes.data_plane import FakePlane
from pipeline.testing.fakes.engine import FakeEngine
from tests.support.ports import free_port
from tests.support.started_runs import begin_run
from tests.support.waiting import DEADLINE, SOON, until

COMMIT: dict[str, Any] = {"sha": "0123456789" * 4, "ref": "main", "author": "Ann", "subject": "Carts"}


@pytest.fixture
def served(home: Home) -> Iterator[None]:
    """Hold the daemon's lock as the daemon of this pipeline."""
    with ExitStack() as stack:
        stack.enter_context(work_lock(home.daemon_lock, "pipeline serve"))
        stack.enter_context(work_lock(home.lock("shop"), "pipeline serve of shop"))
        yield


@pytest.fixture
def balancer(home: Home, monkeypatch: pytest.MonkeyPatch) -> tuple[Balancer, FakePlane]:
    """Return a balancer with a target of `shop` and a fake data plane. Commands open this one."""
    plane = FakePlane()
    opened = Balancer(home.balancer, plane)
    monkeypatch.setattr("pipeline.balancer.planes.open_balancer", lambda _: opened)
    declared = {
        "target_groups": {"web": {"port": 80}},
        "load_balancers": {"edge": {"listeners": [{"port": free_port(), "default_action": {"forward": "web"}}]}},
    }
    opened.apply("shop", Declaration.model_validate(declared))
    opened.register("shop", "web", Target(id="web-1", address="10.0.0.1", port=80))
    return opened, plane


def output_of(command: click.Command, *arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def put(store: Store, *requests: RunRequest) -> list[Run]:
    return store.queue.put("shop", requests or [RunRequest(Trigger.HOOK, **COMMIT)], mode="queued")


def test_nothing_is_there_yet(store: Store) -> None:
    """Without a daemon and a release, the status says so and names `pipeline serve`."""
    output = output_of(status.command)
    assert output.splitlines()[0] == "shop: no active release"
    assert "not managed" in output
    assert "`pipeline serve`" in output


def test_a_daemon_with_other_files(store: Store, home: Home) -> None:
    """A daemon without this pipeline's file is reported as such."""
    with work_lock(home.daemon_lock, "pipeline serve"):
        assert "was started without this file" in output_of(status.command)


def test_a_command_that_works_on_it(store: Store, home: Home) -> None:
    """A command that holds the lock is shown with its pid."""
    with work_lock(home.lock("shop"), "run of shop"):
        assert "run of shop (pid " in output_of(status.command)


@pytest.fixture
def stopped_daemon(home: Home) -> Iterator[int]:
    """A process that holds the locks of a daemon of this pipeline and is stopped by a signal."""
    code = (
        "import sys; from pathlib import Path; from pipeline.base.lock import work_lock\n"
        "with work_lock(Path(sys.argv[1]), 'pipeline serve'), work_lock(Path(sys.argv[2]), 'pipeline serve of shop'):\n"
        "    print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(home.daemon_lock), str(home.lock("shop"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: is_stopped(process.pid), "the stop")
        yield process.pid
        process.kill()


def test_a_stopped_daemon_is_reported(store: Store, stopped_daemon: int) -> None:
    """The status says what continues it, and no command waits for its response."""
    remedy = f"continue it with `fg` or `kill -CONT {stopped_daemon}`, or end it with `kill -9 {stopped_daemon}`"
    output = output_of(status.command)
    Home.locate().daemon_socket.touch()
    assert f"managed by daemon (pid {stopped_daemon}) since" in output
    assert f", which is stopped by Ctrl-Z or SIGSTOP: {remedy}" in output
    with pytest.raises(SystemFault, match=rf"the daemon \(pid {stopped_daemon}\) is stopped") as caught:
        Daemon.find(Home.locate())
    assert caught.value.hint == remedy


def test_a_stopped_command_that_holds_the_balancer_is_reported(store: Store, home: Home) -> None:
    """It may be of another pipeline."""
    code = (
        "import sys; from pathlib import Path; from pipeline.base.lock import short_lock\n"
        "with short_lock(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(home.balancer / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert "holds the balancer" not in output_of(status.command)
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: is_stopped(process.pid), "the stop")
        output = output_of(status.command)
        process.kill()
    assert f"(pid {process.pid}) holds the balancer and is stopped by Ctrl-Z or SIGSTOP: continue it with" in output


def test_a_stopped_balancer_process_is_reported(store: Store, balancer: tuple[Balancer, FakePlane]) -> None:
    """With `pipeline recover`, which continues it. The status does not wait for its response."""
    opened, plane = balancer
    plane.halt()
    output = output_of(status.command)
    assert re.search(r"^the balancer is stopped by a signal \(pid \d+\): .*: run `pipeline recover`$", output, re.M)
    assert "cannot read the targets: HAProxy is stopped" in output
    assert opened.stopped()


@pytest.mark.usefixtures("served")
def test_an_interrupted_run_is_left_to_the_daemon(store: Store) -> None:
    """With a daemon, an interrupted run is left to it."""
    begin_run(store, "shop")
    assert "run 1 is starting" in output_of(status.command)
    run = store.runs.get("shop", 1)
    assert run is not None
    assert run.state is RunState.RUNNING
    assert store.events.latest("shop") == []


def test_an_interrupted_run_is_reported_and_not_changed(store: Store) -> None:
    """Without a daemon, an interrupted run is reported with `pipeline recover`, and not changed."""
    begin_run(store, "shop")
    assert "a run or a deployment was interrupted: run `pipeline recover`" in output_of(status.command).splitlines()
    assert json.loads(output_of(status.command, "--json"))["broken"] == ["a run or a deployment was interrupted"]
    run = store.runs.get("shop", 1)
    assert run is not None
    assert run.state is RunState.RUNNING
    assert store.events.latest("shop") == []


def test_a_run_that_a_command_works_on_is_not_interrupted(store: Store, home: Home) -> None:
    """A run is not interrupted while a command holds the lock."""
    begin_run(store, "shop")
    with work_lock(home.lock("shop"), "run of shop"):
        assert json.loads(output_of(status.command, "--json"))["broken"] == []


def test_a_stopped_balancer_is_reported_and_not_started(
    store: Store, home: Home, balancer: tuple[Balancer, FakePlane]
) -> None:
    """A stopped balancer is reported and not started."""
    _, plane = balancer
    plane.forget()
    output = output_of(status.command)
    assert "the balancer is not running: run `pipeline recover`" in output.splitlines()
    assert re.search(r"^web-1 +unhealthy .* Elb.InternalError: The load balancer is not running", output, re.MULTILINE)
    assert json.loads(output_of(status.command, "--json"))["targets"][0]["reason"] == "Elb.InternalError"
    assert plane.calls["apply"] == 1


APP = ContainerSpec("shop.web.r1.4f1c2a", "sha256:1", {LABEL_PIPELINE: "shop", LABEL_ROLE: ROLE_APP})


@pytest.mark.usefixtures("balancer")
def test_a_crash_loop_is_shown(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The restarts by Docker are counted, also without a daemon. Once is no loop, and is shown too."""
    engine = FakeEngine()
    engine.images.add("sha256:1")
    monkeypatch.setattr(hosts, "local_engine", lambda _: engine)
    for spec in (APP, replace(APP, name="shop.web.r1.000000")):
        engine.containers.start(spec)
        engine.containers.set_restart_policy(spec.name, "always")
    assert "restarted" not in output_of(status.command)
    for _ in range(3):
        engine.containers.exit(APP.name, 1)
    output = output_of(status.command)
    assert "shop.web.r1.4f1c2a exited and was restarted 3 times, last " in output
    assert "`docker logs shop.web.r1.4f1c2a`" in output
    assert "shop.web.r1.000000 exited" not in output
    assert json.loads(output_of(status.command, "--json"))["restarts"] == {"shop.web.r1.4f1c2a": 3}


@pytest.mark.usefixtures("balancer")
def test_workers_are_shown(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container of a service without targets is shown with the state that the engine gives it."""
    engine = FakeEngine()
    engine.images.add("sha256:1")
    monkeypatch.setattr(hosts, "local_engine", lambda _: engine)
    probe = HealthProbe(("check",), timedelta(hours=1), timedelta(seconds=1), threshold=1)
    labels = {**APP.labels, LABEL_SERVICE: "worker"}
    engine.containers.start(replace(APP, name="shop.worker.r1.aaaaaa", labels=labels, probe=probe))
    engine.containers.start(replace(APP, name="shop.worker.r1.bbbbbb", labels=labels))
    engine.containers.start(replace(APP, name="web-1"))
    engine.containers.start(replace(APP, name="web-2"))
    found = {"shop.worker.r1.aaaaaa": "starting", "shop.worker.r1.bbbbbb": "running"}
    assert json.loads(output_of(status.command, "--json"))["workers"] == found
    for name, state in found.items():
        assert re.search(rf"{name} +{state}", output_of(status.command))


@pytest.mark.usefixtures("balancer")
@pytest.mark.parametrize("hangs", [False, True])
def test_an_engine_that_does_not_answer(store: Store, monkeypatch: pytest.MonkeyPatch, *, hangs: bool) -> None:
    """The rest of the status is shown within seconds."""
    released = threading.Event()

    def connect(_: str) -> FakeEngine:
        if hangs:
            released.wait(DEADLINE)
        raise EngineFault("cannot reach Docker")

    monkeypatch.setattr(hosts, "local_engine", connect)
    monkeypatch.setattr("pipeline.runner.engine_view.TIMEOUT", 0.5)
    began = time.monotonic()
    assert "web-1" in output_of(status.command)
    assert time.monotonic() - began < SOON
    released.set()


@pytest.fixture
def two_hosts(
    store: Store, balancer: tuple[Balancer, FakePlane], monkeypatch: pytest.MonkeyPatch
) -> dict[str, FakeEngine]:
    """The engines of the hosts of `shop`. The target web-1 runs on app1, at its address."""
    engines = {name: FakeEngine() for name in ("app1", "app2")}
    for engine in engines.values():
        engine.images.add("sha256:1")
    engines["app1"].containers.start(replace(APP, name="web-1"))
    own = ClusterHost(HostSpec("app1", "ssh://app1", "a", "10.0.0.1"))
    other = ClusterHost(HostSpec("app2", "ssh://app2", "b", "10.0.0.2"))
    deployment = store.deployments.begin("shop", 1, None, 1, cluster=ClusterSpec(hosts=(own, other)))
    store.deployments.finish(deployment, DeploymentState.SUCCEEDED, "")
    # Nothing is left on the local engine.
    store.clusters.forget("shop", "local")
    monkeypatch.setattr(hosts, "local_engine", lambda _: FakeEngine())
    monkeypatch.setattr(hosts, "host_engine", lambda spec, *_: engines[spec.name])
    return engines


def test_hosts_are_shown(store: Store, two_hosts: dict[str, FakeEngine]) -> None:
    """That of each target and each other container, and restarts on any of them."""
    labels = {**APP.labels, LABEL_SERVICE: "worker"}
    two_hosts["app2"].containers.start(replace(APP, name="shop.worker.r1.aaaaaa", labels=labels))
    two_hosts["app2"].containers.set_restart_policy("shop.worker.r1.aaaaaa", "always")
    two_hosts["app2"].containers.exit("shop.worker.r1.aaaaaa", 1)
    output = output_of(status.command)
    assert re.search(r"web-1 +\w+ +0 +10\.0\.0\.1:80 on app1", output)
    assert re.search(r"shop\.worker\.r1\.aaaaaa +running +app2", output)
    assert "shop.worker.r1.aaaaaa exited and was restarted once" in output
    assert "`docker logs" not in output
    assert "app1 takes" not in output
    assert json.loads(output_of(status.command, "--json"))["hosts"] == [
        {"name": "app1", "zone": "a", "takes_replicas": True, "containers": ["web-1"], "fault": None},
        {"name": "app2", "zone": "b", "takes_replicas": True, "containers": ["shop.worker.r1.aaaaaa"], "fault": None},
    ]


def test_a_host_that_takes_no_replicas_is_shown(store: Store, two_hosts: dict[str, FakeEngine]) -> None:
    """With what is left on it."""
    store.clusters.drain("shop", "app1")
    assert "host app1 takes no replicas, 1 is left on it\n" in output_of(status.command)
    two_hosts["app1"].containers.remove("web-1")
    assert "host app1 takes no replicas, none is left on it\n" in output_of(status.command)


@pytest.mark.parametrize("lost", [["app1"], ["app1", "app2"]])
def test_a_host_that_does_not_answer_is_shown(
    store: Store, two_hosts: dict[str, FakeEngine], monkeypatch: pytest.MonkeyPatch, lost: list[str]
) -> None:
    """With the reason. Its targets are known by their address."""

    def connect(spec: HostSpec, *_: object) -> FakeEngine:
        if spec.name in lost:
            raise EngineFault(f"host {spec.name} (ssh://{spec.name}): no route to it: timed out")
        return two_hosts[spec.name]

    monkeypatch.setattr(hosts, "host_engine", connect)
    output = output_of(status.command)
    for name in lost:
        assert f"host {name} does not answer: no route to it: timed out\n" in output
    assert re.search(r"web-1 +\w+ +0 +10\.0\.0\.1:80 on app1", output)
    found = {each["name"]: each["fault"] for each in json.loads(output_of(status.command, "--json"))["hosts"]}
    assert found["app1"] == "no route to it: timed out"
    assert (found["app2"] is None) is (lost == ["app1"])


def test_a_silent_host_does_not_delay_the_status(
    store: Store, two_hosts: dict[str, FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that answer are shown, and the next status does not wait any longer. The host may only be slow."""
    hang = two_hosts["app2"].faults.hang("containers.of")
    for _ in range(2):
        report = StatusReport(Home.locate(), store, "shop", invalid=False, silence=timedelta(seconds=2))
        assert [(each["name"], each["fault"]) for each in report.data()["hosts"]] == [
            ("app1", None),
            ("app2", "no answer within 2 s"),
        ]
        lines = ["".join(map(str, line)) for line in report.text().lines]
        shown = "host app2 is slow or cannot be reached: no answer within 2 s. `pipeline node list` waits longer"
        assert shown in lines
    hang.release()


def test_a_status_while_another_one_waits_for_a_host(store: Store, two_hosts: dict[str, FakeEngine]) -> None:
    """It does not wait too, and does not take hosts that it has not asked for empty ones."""
    hang = two_hosts["app2"].faults.hang("containers.of")

    def read(silence: timedelta) -> list[str]:
        report = StatusReport(Home.locate(), store, "shop", invalid=False, silence=silence)
        return [each["fault"] or "" for each in report.data()["hosts"]]

    with ThreadPoolExecutor(1) as pool:
        cluster, silence = store.clusters.of("shop"), timedelta(seconds=DEADLINE)
        first = pool.submit(EngineView.of, Home.locate(), "shop", cluster, silence)
        hang.wait_until_called()
        assert read(silence) == ["an earlier look has not ended"] * 2
        hang.release()
        assert first.result(DEADLINE).missing == {}
    assert read(silence) == ["", ""]


def test_recover_removes_the_containers_of_killed_commands_on_hosts(
    store: Store, two_hosts: dict[str, FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those on hosts that answer. The others are told."""
    labels = {**APP.labels, LABEL_ROLE: ROLE_CONSOLE}
    for engine in two_hosts.values():
        engine.containers.start(replace(APP, name="shop.web.once.aaaaaa", labels=labels))
    monkeypatch.setattr(hosts, "local_console", lambda _: FakeConsole(FakeEngine()))
    monkeypatch.setattr(hosts, "host_console", lambda spec, *_: FakeConsole(two_hosts[spec.name]))
    two_hosts["app2"].faults.go_away()
    done = CliRunner().invoke(recover.command, catch_exceptions=False)
    assert done.exit_code == 0
    assert "note: host app2 does not answer, what killed commands left on it stays" in done.stderr
    two_hosts["app2"].faults.come_back()
    assert [two_hosts[name].containers.has("shop.web.once.aaaaaa") for name in two_hosts] == [False, True]
    output_of(recover.command)
    assert not two_hosts["app2"].containers.has("shop.web.once.aaaaaa")
    for engine in two_hosts.values():
        engine.faults.go_away()
    done = CliRunner().invoke(recover.command, catch_exceptions=False)
    assert (done.exit_code, done.stderr.count("note: host app")) == (0, 2)


def test_recover_starts_the_balancer(store: Store, balancer: tuple[Balancer, FakePlane]) -> None:
    """`recover` starts a stopped balancer, and a second call does nothing."""
    _, plane = balancer
    plane.forget()
    assert output_of(recover.command) == "the balancer was not running: restarted\n"
    assert output_of(recover.command) == "nothing to recover\n"
    plane.forget()
    assert output_of(recover.command, "--json") == ""
    assert plane.observe().running


def test_recover_stops_a_balancer_without_a_declaration(
    store: Store, home: Home, balancer: tuple[Balancer, FakePlane]
) -> None:
    """A balancer whose registry was emptied is stopped, and `recover` says so. A second call does nothing."""
    _, plane = balancer
    (home.balancer / "registry.json").write_text("{}")
    assert output_of(recover.command) == "the balancer was running, but nothing is declared: stopped\n"
    assert not plane.observe().running
    assert output_of(recover.command) == "nothing to recover\n"


@pytest.mark.usefixtures("served")
def test_recover_leaves_it_to_the_daemon(store: Store, balancer: tuple[Balancer, FakePlane]) -> None:
    """`recover` does nothing if the daemon manages the pipeline."""
    _, plane = balancer
    plane.forget()
    assert "recovers shop" in output_of(recover.command)
    assert not plane.observe().running


@pytest.mark.usefixtures("served")
def test_a_waiting_run_shows_its_reason(store: Store) -> None:
    """A waiting run shows its reason: the queue, another run, an approval or a disabled transition."""
    for _ in range(4):
        put(store)
        store.queue.claim("shop", "parallel")
    put(store)
    store.queue.enter("shop", 1, "source")
    store.queue.await_approval("shop", 2)
    store.queue.enter("shop", 3, "deploy")
    output_of(transition.command, "disable", "build", "--reason", "audit")
    store.queue.enter("shop", 4, "build")
    lines = output_of(status.command).splitlines()
    assert lines[2:] == [
        "run 1 is in Source (0123456 Carts)",
        "run 2 waits for approval: pipeline approve 2, or pipeline reject 2 (0123456 Carts)",
        "run 3 waits for run 1 (0123456 Carts)",
        "run 4 waits for the transition into build, disabled: audit (0123456 Carts)",
        "run 5 waits in the queue (0123456 Carts)",
        "transition into Build disabled: audit (pipeline transition enable build)",
    ]
    data = json.loads(output_of(status.command, "--json"))
    assert data["served"] is True
    assert [(run["number"], run["state"], run["waits_for"]) for run in data["unfinished"]][1::3] == [
        (2, "running", "approval"),
        (5, "queued", None),
    ]
    assert data["disabled_transitions"] == {"build": "audit"}


def test_a_long_queue_is_abbreviated(store: Store) -> None:
    """A long queue is shown by its first runs and its last one."""
    put(store, *[RunRequest(Trigger.HOOK, **COMMIT)] * 30)
    output = output_of(status.command)
    assert "run 10 waits in the queue, for `pipeline serve` (0123456 Carts)" in output
    assert "run 11 " not in output
    assert "… and 20 more, up to run 30" in output


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("step", [timedelta(hours=1), -timedelta(hours=1)])
def test_drift_is_shown_when_the_clock_was_set(store: Store, step: timedelta) -> None:
    """The order of the events counts, not their times."""
    store.events.record(Event("serve.started", "managed by daemon (pid 1)", "shop"))
    store.events.record(Event("reconcile.drift", "a container is missing", "shop", at=datetime.now(UTC) + step))
    assert "repairing: a container is missing" in output_of(status.command)


@pytest.mark.usefixtures("served")
def test_drift_is_shown_until_repaired(store: Store) -> None:
    """Drift is shown until it is repaired, and drift of an earlier daemon is not shown."""

    def happen(kind: str, message: str) -> None:
        store.events.record(Event(f"upkeep.{kind}", message, "shop"))

    happen("found", "an old story")
    store.events.record(Event("serve.started", "managed by daemon (pid 1)", "shop"))
    assert "old story" not in output_of(status.command)
    happen("found", "1 of 2 containers are missing")
    happen("failed", "no Docker; retrying in 2 s")
    happen("failed", "no Docker; retrying in 4 s")
    assert [line for line in output_of(status.command).splitlines() if line.startswith("repairing: ")] == [
        "repairing: 1 of 2 containers are missing",
        "repairing: repair failed: no Docker; retrying in 4 s",
    ]
    happen("mended", "repaired, no drift left")
    assert "repairing" not in output_of(status.command)
    assert json.loads(output_of(status.command, "--json"))["drift"] == []


def test_alarms_of_the_open_deployment(store: Store) -> None:
    """Each condition has its latest state and what it still needs, until its deployment ends."""

    def evaluated(service: str, condition: int, state: str, text: str, needed: int | None = None) -> None:
        fields = {"service": service, "release": 5, "condition": condition, "state": state, "needed": needed}
        store.events.record(Event("alarm.evaluated", f"{service}: {state}, {text}", "shop", 1, fields))

    evaluated("web", 1, "ALARM", "an old one")
    deployment = store.deployments.begin("shop", 1, 4, 5)
    evaluated("web", 1, "INSUFFICIENT_DATA", "http_5xx_ratio 0 % (0 of 3), 17 more requests are needed", 17)
    evaluated("web", 2, "OK", "restarts above 0: 0")
    evaluated("api", 1, "OK", "p99 above 300ms: 80ms (400 requests)")
    evaluated("web", 1, "OK", "http_5xx_ratio above 1%: 1% (1 of 90 requests), evidence 3", 200)
    assert [line for line in output_of(status.command).splitlines() if line.startswith("alarm ")] == [
        "alarm of api: OK, p99 above 300ms: 80ms (400 requests)",
        "alarm of web: OK, http_5xx_ratio above 1%: 1% (1 of 90 requests), evidence 3",
        "alarm of web: OK, restarts above 0: 0",
    ]
    assert json.loads(output_of(status.command, "--json"))["alarms"][1] == {
        "service": "web",
        "release": 5,
        "condition": 1,
        "state": "OK",
        "text": "http_5xx_ratio above 1%: 1% (1 of 90 requests), evidence 3",
        "needed": 200,
    }
    store.deployments.finish(deployment, DeploymentState.ROLLED_BACK)
    assert "alarm of" not in output_of(status.command)


def test_alarms_on_copies_end_with_them(store: Store) -> None:
    """The conditions on the requests that follow are others. Those of other services stay."""

    def evaluated(service: str, condition: int, text: str) -> None:
        fields = {"service": service, "release": 5, "condition": condition, "state": "OK", "needed": None}
        store.events.record(Event("alarm.evaluated", f"{service}: OK, {text}", "shop", 1, fields))

    store.deployments.begin("shop", 1, 4, 5)
    evaluated("api", 1, "p99 80 ms (400), limit 300 ms")
    evaluated("web", 1, "copies: http_5xx_ratio 0 % (0 of 90)")
    evaluated("web", 2, "copies: class of status differs in 0 % (0 of 90)")
    assert "alarm of web: OK, copies: class of status differs in 0 % (0 of 90)" in output_of(status.command)
    store.events.record(Event("shift.mirrored", "no more copies", "shop", 1, {"service": "web", "release": 5}))
    evaluated("web", 1, "http_5xx_ratio 0 % (0 of 3)")
    assert [line for line in output_of(status.command).splitlines() if line.startswith("alarm ")] == [
        "alarm of api: OK, p99 80 ms (400), limit 300 ms",
        "alarm of web: OK, http_5xx_ratio 0 % (0 of 3)",
    ]


def test_a_transition_is_in_the_events(store: Store) -> None:
    """Disabling and enabling a transition is stored as events."""
    output_of(transition.command, "disable", "deploy", "--reason", "audit")
    output_of(transition.command, "enable", "deploy")
    assert output_of(transition.command, "enable", "deploy") == "transition into Deploy is already enabled\n"
    assert [(e.kind, e.message) for e in store.events.latest("shop")] == [
        ("transition.disabled", "transition into Deploy disabled: audit (by anna)"),
        ("transition.enabled", "transition into Deploy enabled (by anna)"),
    ]


def test_history_shows_trigger_and_reason(store: Store) -> None:
    """The history shows the trigger and the reason of each run, and the duration of started ones."""
    put(store, RunRequest(Trigger.WATCH, **COMMIT, skip_reason="its message says [skip ci]"))
    put(store, RunRequest(Trigger.WEBHOOK, **COMMIT | {"sha": "f" * 40}))
    store.queue.put("shop", [RunRequest(Trigger.POLL, **COMMIT)])
    store.queue.claim("shop", "superseded")
    store.queue.requeue("shop", 3, "queued")
    store.queue.claim("shop", "superseded")
    store.queue.record_decision("shop", 3, ApprovalDecision(True, "ann", "", datetime.now(UTC)))
    store.runs.finish("shop", 3, RunState.FAILED, "the tests failed\nwith much to say")
    put(store, RunRequest(Trigger.RETRY, **COMMIT, retry_of=3))
    store.queue.cancel("shop", 4, "cancelled")
    put(store, RunRequest(Trigger.SCHEDULE, **{**COMMIT, "subject": "x" * 300}))
    header, *rows = output_of(history.command).splitlines()
    note = header.index("NOTE")
    assert [row[:4].strip() for row in rows] == ["5", "4", "3", "2", "1"]
    assert [row[note:] for row in rows] == [
        "",
        "retry of run 3",
        "the tests failed; started 2 times; approved by ann",
        "superseded by run 3",
        "its message says [skip ci]",
    ]
    trigger, took = header.index("TRIGGER"), header.index("TOOK")
    assert [row[trigger:].split()[0] for row in rows] == ["schedule", "retry", "poll", "webhook", "watch"]
    assert [bool(row[took : took + 5].strip()) for row in rows] == [False, False, True, False, False]
    assert max(map(len, rows)) < 200


def test_history_for_machines(store: Store) -> None:
    """`--json` has every field of a run, with its approval."""
    put(store)
    store.queue.record_decision("shop", 1, ApprovalDecision(False, "bob", "not now", datetime.now(UTC)))
    (run,) = json.loads(output_of(history.command, "--json"))
    assert (run["trigger"], run["retry_of"], run["attempts"], run["stages"]) == ("hook", None, 0, [])
    assert run["approval"] | {"at": ""} == {"granted": False, "by": "bob", "comment": "not now", "at": ""}


def test_certificates_of_authorities(balancer: tuple[Balancer, FakePlane], store: Store) -> None:
    """The status has the expiry of each, or why there is none, and what to do about it."""
    opened, _ = balancer
    issued = AcmeCertificate(domains=("a.test", "b.test"), terms_agreed=True, http_port=free_port())
    failed = AcmeCertificate(domains=("c.test",), terms_agreed=True, http_port=issued.http_port)
    new = AcmeCertificate(domains=("d.test",), terms_agreed=True, http_port=issued.http_port)
    listener = {
        "port": free_port(),
        "protocol": "HTTPS",
        "certificates": [{"acme": each} for each in (issued, failed, new)],
        "default_action": {"forward": "web"},
    }
    declared = {"target_groups": {"web": {"port": 80}}, "load_balancers": {"edge": {"listeners": [listener]}}}
    opened.apply("shop", Declaration.model_validate(declared))
    files, now = CertificateFiles(opened.directory), datetime.now(UTC)
    files.put_certificate(issued, "certificate", "key")
    files.put(issued, CertificateState(issued.domains, issued=now, expires=now + timedelta(days=90)))
    files.put(failed, CertificateState(failed.domains, failures=1, error="c.test: no proof", retry_at=now))
    text = output_of(status.command)
    assert "certificate for a.test, b.test expires 20" in text
    hint = "is not issued yet: run `pipeline serve`, which requests it"
    assert f"certificate for c.test {hint}; c.test: no proof, next attempt 20" in text
    assert f"certificate for d.test {hint}\n" in text
    found = json.loads(output_of(status.command, "--json"))["certificates"]
    assert [(each["domains"], each["expires"] is None, each["error"]) for each in found] == [
        (["a.test", "b.test"], False, ""),
        (["c.test"], True, "c.test: no proof"),
        (["d.test"], True, ""),
    ]


def test_a_deployment_shows_its_step(store: Store) -> None:
    """The strategy, the step, its share and what each service waits for are shown, and given to programs."""
    begin_run(store, "shop")
    row = store.deployments.begin("shop", 1, 4, 5, "canary")
    since = SYSTEM.now()
    store.progress.set(row, ServiceProgress("api", "canary", ShiftPhase.DONE, since))
    minutes = timedelta(minutes=10)
    web = ServiceProgress("web", "canary", ShiftPhase.SHIFT, since, 0, 2, 10.0, minutes, timedelta(seconds=90))
    store.progress.set(row, web)
    shown = output_of(status.command)
    assert "deploying release 5 by canary\n" in shown
    assert (
        "a run or a deployment was interrupted: `pipeline run` of the same commit continues the deployment, and "
        "`pipeline recover` undoes it\n"
    ) in shown
    assert "api is done\n" in shown
    assert (
        "web is in step 1 of 2 of canary, with 10 % of the requests: waits for its bake time, 0:01:30 of 0:10:00\n"
        in shown
    )
    found = json.loads(output_of(status.command, "--json"))["deployment"]
    assert {key: found[key] for key in ("run", "from_release", "to_release", "strategy", "held")} == {
        "run": 1,
        "from_release": 4,
        "to_release": 5,
        "strategy": "canary",
        "held": False,
    }
    assert found["services"][1] == {
        "service": "web",
        "strategy": "canary",
        "phase": "shift",
        "step": 1,
        "steps": 2,
        "share": 10.0,
        "bake_time": 600.0,
        "baked": 90.0,
        "waits_for": "its bake time, 0:01:30 of 0:10:00",
    }


def test_a_pause_is_what_a_deployment_waits_for(store: Store) -> None:
    """The status names it, and the commands that end it, whatever else the phase waits for. So do programs learn it."""
    begin_run(store, "shop")
    row = store.deployments.begin("shop", 1, 4, 5, "canary")
    since, answers = SYSTEM.now(), store.deployment_answers
    store.progress.set(row, ServiceProgress("api", "canary", ShiftPhase.INSTALL, since))
    store.progress.set(row, ServiceProgress("web", "canary", ShiftPhase.INSTALL, since))
    pause, hour = "the pause in BeforeAllowTraffic", timedelta(hours=1)
    wait = answers.begin(row.id, "web", "BeforeAllowTraffic[0]", pause, since, hour)
    commands = "pipeline promote, or pipeline abort"
    waits = "starts beside the previous release and gets no requests yet: waits for"
    shown = output_of(status.command)
    assert f"web {waits} {pause}: {commands}\n" in shown
    assert f"api {waits} healthy containers of the new release\n" in shown
    assert f"run 1 waits in Deploy: web: {pause}: {commands}" in shown
    found = json.loads(output_of(status.command, "--json"))
    assert found["deployment"]["services"][1]["waits_for"] == f"{pause}: {commands}"
    assert found["unfinished"][0]["waits_for"] == f"web: {pause}"
    answers.promote(wait, "ann")
    assert f"web {waits} {pause}, promoted by ann: {commands}\n" in output_of(status.command)
    answers.end(wait)
    assert "pause" not in output_of(status.command)


def test_a_bake_time_shows_how_much_is_over(store: Store) -> None:
    """It can be promoted too, as the line of its run says."""
    begin_run(store, "shop")
    row = store.deployments.begin("shop", 1, 4, 5, "canary")
    since, minutes = SYSTEM.now(), timedelta(minutes=10)
    store.progress.set(row, ServiceProgress("web", "canary", ShiftPhase.SHIFT, since, 0, 2, 10.0, minutes))
    store.deployment_answers.begin(row.id, "web", "shift[0]", "the bake time at 10 %", since)
    shown = output_of(status.command)
    assert "with 10 % of the requests: waits for its bake time, 0:00:00 of 0:10:00\n" in shown
    assert "run 1 waits in Deploy: web: the bake time at 10 %: pipeline promote, or pipeline abort" in shown


def test_a_held_deployment_is_shown(store: Store) -> None:
    """A deployment whose run is queued again is held, and is no interrupted work."""
    put(store)
    row = store.deployments.begin("shop", 1, 4, 5, "canary")
    store.progress.set(row, ServiceProgress("web", "canary", ShiftPhase.SHIFT, SYSTEM.now(), 0, 2, 10.0))
    shown = output_of(status.command)
    assert "deploying release 5 by canary; it is held until its run continues\n" in shown
    assert "interrupted" not in shown
    assert json.loads(output_of(status.command, "--json"))["deployment"]["held"]


def test_history_names_the_strategy(store: Store) -> None:
    """The strategy of each run that has deployed is in a column, and in the JSON."""
    put(store)
    put(store, RunRequest(Trigger.HOOK, **COMMIT | {"sha": "f" * 40}))
    store.deployments.begin("shop", 2, 4, 5, "blue_green")
    header, *rows = output_of(history.command).splitlines()
    column = header.index("STRATEGY")
    assert [row[column : column + 10].strip() for row in rows] == ["blue_green", ""]
    runs = json.loads(output_of(history.command, "--json"))
    assert [run["strategy"] for run in runs] == ["blue_green", None]


def test_the_users_of_runs_are_named(store: Store) -> None:
    """The history has who requested a run, and the status who cancels it."""
    store.queue.put("shop", [RunRequest(Trigger.COMMAND, **COMMIT, by="anna")])
    store.queue.claim("shop", "superseded")
    store.queue.cancel("shop", 1, by="bob")
    assert output_of(history.command).splitlines()[1].endswith("by anna")
    assert "run 1 is being cancelled by bob" in output_of(status.command)
