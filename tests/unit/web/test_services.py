"""The pages about services, accessories, jobs and hosts: what they show, their logs, and their buttons."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.accessories.backup_files import BackupFiles
from pipeline.base.errors import EngineFault
from pipeline.engine import hosts
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.container import ContainerSpec
from pipeline.engine.host import HostSpec
from pipeline.engine.interfaces import Engine
from pipeline.engine.open_cluster import OpenCluster
from pipeline.runner.engine_view import EngineView
from pipeline.store.records import DeploymentState, RunKind
from pipeline.store.web_sessions import Role
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from pipeline.testing.fakes.runtime import FakeRuntime
from tests.support.accessory_world import GOOD
from tests.support.logged_containers import FakeConsole, stamped
from tests.support.scaled_service import policy_text
from tests.support.stored_release import add_release
from tests.support.waiting import until
from tests.support.web import Browser, WebServer, web_server

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e"
SHOWN = "&lt;img src=x onerror=alert(1)&gt;\\x1b[31m\\u202e"
PIPELINE = """\
name: shop
deploy:
  services:
    web: {target_group: web}
    nightly: {command: [clean], schedule: "0 3 * * *", timezone: UTC}
accessories:
  db:
    image: db:1
    health_check: {uptime: 0s}
    backup: {command: [dump], keep: 2}
    restore: {command: [load]}
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""
WEB, DB, NIGHTLY = "/pipelines/shop/services/web", "/pipelines/shop/accessories/db", "/pipelines/shop/jobs/nightly"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    job = Program(on_sigterm=143)

    def program_of(spec: ContainerSpec) -> Program:
        return GOOD if spec.image == found.images.known("db:1") else job

    found = FakeEngine(program=program_of)
    found.images.add("db:1")
    found.images.add("sha256:a")
    monkeypatch.setattr(hosts, "local_engine", lambda *_: found)
    return found


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> FakeConsole:
    found = FakeConsole()
    monkeypatch.setattr(hosts, "local_console", lambda *_: found)
    found.print("shop.web.r1.aaaaaa", stamped(1, HOSTILE), stamped(2, "second"))
    found.print("shop.nightly.r1.bbbbbb", stamped(3, "cleaned"))
    found.print("shop.db.accessory.cccccc", stamped(4, "ready"))
    return found


@pytest.fixture
def server(
    tmp_path: Path, engine: FakeEngine, console: FakeConsole, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WebServer]:
    """Release 1 is active, with a replica, and the service is scaled automatically."""
    policy = policy_text(min=1, max=4, target={"requests_per_target": 100})

    def view(*_: object) -> EngineView:
        return EngineView(
            containers=[] if console.fault else [each for each in console.containers("shop") if ".web." in each.name],
            accessories=[each for each in engine.containers.all("shop") if each.labels["penstock.role"] == "accessory"],
        )

    monkeypatch.setattr(EngineView, "of", view)
    with web_server(tmp_path, pipelines={"shop": PIPELINE}) as found:
        add_release(found.store, tmp_path, PIPELINE, "a" * 40, wanted={"web": 2}, scaling={"web": policy})
        yield found


def press(browser: Browser, path: str, fields: Mapping[str, str] | None = None) -> str:
    """Press a button without JavaScript, and return the page that follows, from its message on."""
    answer = browser.post(path, fields)
    assert answer.status == 303, answer.text
    return browser.get(answer.headers["location"]).part("message")


def stored(server: WebServer, prefix: str) -> list[tuple[str, object]]:
    """Return the kinds of events and their users."""
    found = server.store.events.latest("shop")
    return [(each.kind, each.fields.get("by")) for each in found if each.kind.startswith(prefix)]


def test_what_runs_is_shown(server: WebServer) -> None:
    """On the page of all pipelines, and on that of one."""
    browser = server.browser(Role.LOOK)
    part = browser.get("/services").part("services")
    assert f'<a href="{WEB}">web</a>: 0 of 2 healthy' in part
    assert f'Job <a href="{NIGHTLY}">nightly</a>: no run yet' in part
    page = browser.get("/pipelines/shop/services")
    assert f'<a href="{WEB}">web</a>' in page.part("services")
    assert "1 to 4" in page.part("services")
    assert f'<a href="{DB}">db</a>' in page.part("accessories")
    assert "0 3 * * *" in page.part("jobs")
    assert "This machine has all replicas." in page.part("nodes")


def test_the_log_of_a_service_is_live_text(server: WebServer, console: FakeConsole) -> None:
    """What a container prints is text without control characters. New lines arrive by themselves."""
    browser = server.browser()
    page = browser.get(WEB)
    log = page.part("log")
    assert f"web.r1.aaaaaa</span> {SHOWN}" in log
    assert "shop.web.r1.aaaaaa" in page.part("service")
    assert "<img" not in page.text
    assert "cleaned" not in log
    with browser.follow(browser.live(WEB)) as events:
        console.print("shop.web.r1.aaaaaa", stamped(5, "third <b>"))
        while "third &lt;b&gt;" not in next(events):
            """A message that was on its way."""


def test_the_log_of_one_replica(server: WebServer, console: FakeConsole) -> None:
    """A link at each container leads to it. Of very many replicas, one has to be chosen."""
    console.print("shop.web.r1.dddddd", stamped(6, "of another"))
    browser = server.browser()
    both = browser.get(WEB)
    assert f'href="{WEB}?replica=shop.web.r1.dddddd#log"' in both.part("service")
    assert "second" in both.part("log")
    assert "of another" in both.part("log")
    page = browser.get(f"{WEB}?replica=shop.web.r1.dddddd")
    assert "The log is that of shop.web.r1.dddddd." in page.part("service")
    assert "of another" in page.part("log")
    assert "second" not in page.part("log")
    for number in range(30):
        console.print(f"shop.web.r1.{number:06}", stamped(7))
    until(lambda: "choose one of its 32 containers" in browser.get(WEB).part("log"), "the list has all of them")
    assert "of another" in browser.get(f"{WEB}?replica=shop.web.r1.dddddd").part("log")


def test_logs_of_jobs_and_accessories(server: WebServer, console: FakeConsole) -> None:
    """Each on its page. An engine that does not answer is told in place of the log, and the page stays."""
    browser = server.browser()
    assert "cleaned" in browser.get(NIGHTLY).part("log")
    assert "ready" in browser.get(DB).part("log")
    console.fault = EngineFault("Docker: <gone>")
    page = browser.get(WEB)
    assert (page.status, "It cannot be read: Docker: &lt;gone&gt;" in page.part("log")) == (200, True)


def test_a_service_is_scaled_and_restarted_by_a_user(server: WebServer) -> None:
    """By runs with that user."""
    browser = server.browser(name="ann")
    assert "Run 1 scales web to 3" in press(browser, f"{WEB}/scale", {"replicas": "3"})
    assert "Run 2 replaces the replicas of web" in press(browser, f"{WEB}/restart")
    runs = server.store.runs.latest("shop")
    assert [(run.kind, run.requested, run.by) for run in runs] == [
        (RunKind.RESTART, "web", "ann"),
        (RunKind.SCALE, "web=3", "ann"),
    ]
    for text in ("0", "x", "1e3", "501", "", "<b>"):
        assert "replicas: must be a number from 1 to" in press(browser, f"{WEB}/scale", {"replicas": text})
    assert len(server.store.runs.latest("shop")) == 2


def test_scaling_is_suspended_and_resumed_by_a_user(server: WebServer) -> None:
    """The button is that of the present state."""
    browser = server.browser(name="ann")
    assert "Suspend auto scaling</button>" in browser.get(WEB).text
    assert "Scaling of web is suspended" in press(browser, f"{WEB}/suspend")
    assert "Resume auto scaling</button>" in browser.get(WEB).text
    assert "Scaling of web is not suspended any more" in press(browser, f"{WEB}/resume")
    until(lambda: len(stored(server, "scaling.")) == 2, "the events are stored")
    assert stored(server, "scaling.") == [("scaling.suspended", "ann"), ("scaling.resumed", "ann")]


def test_a_job_is_run_and_cancelled_by_users(server: WebServer) -> None:
    """The event of each names its user."""
    ann, bob = server.browser(name="ann"), server.browser(name="bob")
    assert "Run now</button>" in ann.get(NIGHTLY).text
    assert "Run 1 of nightly has begun" in press(ann, f"{NIGHTLY}/run")
    assert "Cancel run 1</button>" in bob.get(NIGHTLY).text
    assert "Run 1 of nightly is being cancelled" in press(bob, f"{NIGHTLY}/cancel")
    until(lambda: len(stored(server, "job.")) == 2, "the run is cancelled")
    assert stored(server, "job.") == [("job.started", "ann"), ("job.cancelled", "bob")]
    assert "cancelled" in ann.get(NIGHTLY).part("job")


def test_an_accessory_is_started_and_stopped_by_a_user(server: WebServer) -> None:
    """The page offers what its state allows."""
    browser = server.browser(name="ann")
    assert "Start</button>" in browser.get(DB).text
    assert "The start of db has begun" in press(browser, f"{DB}/start")
    until(lambda: "Stop db</button>" in browser.get(DB).text, "it runs")
    assert "Make a backup</button>" in browser.get(DB).text
    # Unlike a run that is in progress, it is as it should be.
    for path in (DB, "/services", "/pipelines/shop/services"):
        assert re.search(r'<span class="state good">.*? running</span>', browser.get(path).text), path
    assert "The stop of db has begun" in press(browser, f"{DB}/stop")
    until(lambda: "Start</button>" in browser.get(DB).text, "it is stopped")
    until(lambda: stored(server, "accessory.stopping"), "the events are stored")
    assert ("accessory.starting", "ann") in stored(server, "accessory.")
    assert stored(server, "accessory.stopping") == [("accessory.stopping", "ann")]


def test_a_host_is_drained_after_a_look_at_what_is_on_it(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page before it lists the containers. A drained host can be resumed."""

    def open_fake(cluster: ClusterSpec, *_: object, **__: object) -> OpenCluster:
        engines: dict[str, Engine] = {"app1": FakeEngine()}
        return OpenCluster(cluster, FakeRuntime(), lambda: engines)

    monkeypatch.setattr("pipeline.engine.clusters.open_cluster", open_fake)
    cluster = ClusterSpec(hosts=tuple(ClusterHost(HostSpec(name, f"ssh://{name}", "a", "10.0.0.1")) for name in "xy"))
    row = server.store.deployments.begin("shop", 1, 1, 1, cluster=cluster)
    server.store.deployments.finish(row, DeploymentState.SUCCEEDED)
    server.store.clusters.forget("shop", "local")
    browser = server.browser(name="ann")
    drain = "/pipelines/shop/nodes/x/drain"
    assert f'<a href="{drain}">Drain x</a>' in browser.get("/pipelines/shop/services").part("nodes")
    assert "x has no replicas now" in browser.get(drain).part("node")
    assert server.store.runs.latest("shop") == [], "looking begins nothing"
    assert "Run 1 drains x" in press(browser, drain)
    (run,) = server.store.runs.latest("shop")
    assert (run.kind, run.requested, run.by) == (RunKind.DRAIN, "x", "ann")
    server.store.clusters.drain("shop", "x")
    until(lambda: "Resume x</button>" in browser.get("/pipelines/shop/services").part("nodes"), "x is drained")
    assert "x takes replicas again" in press(browser, "/pipelines/shop/nodes/x/resume")
    until(lambda: stored(server, "host."), "the event is stored")
    assert stored(server, "host.") == [("host.resumed", "ann")]


@pytest.mark.parametrize(
    "path",
    [
        f"{WEB}/scale",
        f"{WEB}/restart",
        f"{WEB}/suspend",
        f"{DB}/start",
        f"{DB}/backup",
        f"{NIGHTLY}/run",
        "/pipelines/shop/nodes/x/drain",
    ],
)
def test_a_user_who_only_looks_changes_nothing(server: WebServer, path: str) -> None:
    """The buttons are not there, and their requests are refused."""
    browser = server.browser(Role.LOOK)
    for page in ("/services", "/pipelines/shop/services", WEB, DB, NIGHTLY):
        assert 'class="operate' not in browser.get(page).text
    assert browser.post(path, {"replicas": "3"}).status == 403
    assert server.store.runs.latest("shop") == []
    assert server.store.job_runs.latest("shop") == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/pipelines/other/services", "the daemon does not manage other"),
        ("/pipelines/shop/services/we%3Cb%3E", "shop has no service we&lt;b&gt;"),
        ("/pipelines/shop/accessories/bd", "shop has no accessory bd"),
        ("/pipelines/shop/jobs/web", "shop has no job web"),
        ("/pipelines/shop/nodes/z/drain", "shop has no host z"),
    ],
)
def test_what_does_not_exist(server: WebServer, path: str, message: str) -> None:
    """The page says what is wrong."""
    page = server.browser().get(path)
    assert (page.status, message in page.text) == (404, True), page.text


def make_backup(server: WebServer) -> str:
    """Write a backup of the accessory, and return its name."""
    files = BackupFiles(server.home.backups("shop", "db"))
    with files.writing() as draft:
        draft.write(b"every row\n")
        return files.complete(draft, "db", "db:1", datetime(2026, 1, 2, tzinfo=UTC)).name


def test_an_upgrade_shows_what_it_would_do_before(server: WebServer) -> None:
    """Who may only look sees the same without the button. The button begins it."""
    browser = server.browser()
    press(browser, f"{DB}/start")
    until(lambda: "Stop db</button>" in browser.get(DB).text, "it runs")
    assert f'<a href="{DB}/upgrade">Plan an upgrade</a>' in browser.get(DB).part("accessory")
    for role in Role:
        part = server.browser(role).get(f"{DB}/upgrade").part("upgrade")
        assert "<li>pull db:1</li>" in part
        assert "There is no backup." in part
        assert ("Upgrade db</button>" in part) == (role is Role.OPERATE)
    name = make_backup(server)
    assert f"The latest backup is {name}, of" in browser.get(f"{DB}/upgrade").part("upgrade")
    assert "The upgrade of db has begun" in press(browser, f"{DB}/upgrade")


def test_a_restore_shows_its_backup_before(server: WebServer) -> None:
    """Each backup has a link to the page, whose button restores this one."""
    name, browser = make_backup(server), server.browser()
    assert f'href="{DB}/restore?backup={name}"' in browser.get(DB).part("accessory")
    assert "/restore?" not in server.browser(Role.LOOK).get(DB).part("accessory")
    part = browser.get(f"{DB}/restore?backup={name}").part("restore")
    assert f'<input type="hidden" name="backup" value="{name}">' in part
    assert "Replace the data of db</button>" in part
    assert "The restore of db has begun" in press(browser, f"{DB}/restore", {"backup": name})
    assert "there is no backup 1999" in press(browser, f"{DB}/restore", {"backup": "1999"})
    until(lambda: stored(server, "restore.failed"), "a restore of what does not run fails")


@pytest.mark.parametrize(
    "path", [f"{DB}/restore", f"{DB}/restore?backup=1999", "/pipelines/shop/accessories/bd/upgrade"]
)
def test_what_cannot_be_restored_or_upgraded(server: WebServer, path: str) -> None:
    """There is no page of it."""
    assert server.browser().get(path).status == 404
