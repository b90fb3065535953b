"""Makes tests/golden/home: a home as version 0.1.0 leaves it, for later versions to open.

Run once, with that version, a Docker Engine and PENSTOCK_BASE_IMAGE: `python -m tests.golden.make_home`. Two pipelines
are run by commands and by a daemon, requests are sent through the real HAProxy, and a rollback is killed half-way.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import trustme
from pipeline.base.ports import free_port

from pipeline.balancer.balancer import Balancer
from pipeline.balancer.model import Target
from pipeline.base.home import Home
from pipeline.store.queue import Request
from pipeline.store.records import Trigger
from tests.docker.project import Project, until
from tests.docker.serving import Serving, serving
from tests.unit.triggers.deliveries import SECRET, payload, sent

FOLDER = Path(__file__).with_name("home")
# What stands for the folder in which it was made, and for the image that this machine's samples are built on.
PLACE, IMAGE = "/srv/penstock", "python:3.12-slim"
_SLOW = ("command: [python3, -m, unittest]", "command: [sleep, '300']")
_FAILING = ("python3, -m, unittest]", "'false']")
_APPROVAL = ("  replicas: 2", "  approval: {timeout: 1h}\n  replicas: 2")

_SHOP = """\
      listeners:
        - port: {port}
          default_action:
            forward: {{target_groups: [{{target_group: web, weight: 9}}, {{target_group: spare, weight: 0}}]}}
          rules:
            - priority: 10
              conditions: [{{path_pattern: [/old/*]}}]
              action: {{redirect: {{path: /, status_code: HTTP_301}}}}
            - priority: 20
              conditions: [{{path_pattern: [/up]}}]
              action: {{fixed_response: {{status_code: 200, message_body: up}}}}
            - {{priority: 30, conditions: [{{path_pattern: [/spare/*]}}], action: {{forward: spare}}}}
        - port: {secure}
          protocol: HTTPS
          certificates: [{{certificate: ../edge.pem}}]
          default_action: {{forward: web}}
"""
_BLOG = """\
      listeners:
        - port: {port}
          rules: [{{priority: 100, conditions: [{{path_pattern: [/blog/*]}}], action: {{forward: web}}}}]
"""


class Shop:
    """The pipeline that declares the listeners."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.secure = free_port()
        leaf = trustme.CA().issue_cert("shop.example.com")
        leaf.private_key_and_cert_chain_pem.write_to_path(str(project.directory.parent / "edge.pem"))
        os.environ["WEBHOOK_SECRET"] = SECRET

    def configure(self, *changes: tuple[str, str]) -> None:
        """Write its pipeline.yaml, with parts replaced."""
        listeners = f"      listeners: [{{port: {self.project.port}, default_action: {{forward: web}}}}]\n"
        self.project.configure(
            ("name: shop\n", "name: shop\ntriggers: {webhooks: {github: {secret: '${secret:WEBHOOK_SECRET}'}}}\n"),
            ("deploy_timeout: 20s", "deploy_timeout: 8s"),
            ("target_groups:\n", "target_groups:\n    spare: {port: 8080, health_check: {path: /healthz}}\n"),
            (listeners, _SHOP.format(port=self.project.port, secure=self.secure)),
            *changes,
        )

    def commit(self, version: str, *changes: tuple[str, str]) -> None:
        """Commit a version and its pipeline.yaml."""
        self.configure(*changes)
        self.project.commit(version)


def work(shop: Shop, blog: Project) -> None:
    """Everything that is done in the home."""
    by_commands(shop)
    blog.configure(
        (
            f"      listeners: [{{port: {blog.port}, default_action: {{forward: web}}}}]\n",
            _BLOG.format(port=shop.project.port),
        )
    )
    blog.commit("1")
    blog.pipeline("run")
    blog.commit("2")
    blog.pipeline("run")
    ask(shop)
    by_the_daemon(shop)
    ask(shop)
    shop.project.pipeline("hook", "install")
    shop.project.commit("10")
    balancer = Balancer(shop.project.home.balancer)
    balancer.register("shop", "spare", Target(id="by-hand", address="127.0.0.1", port=9))
    balancer.deregister("blog", "web", balancer.target_health("blog", "web")[0].target.id)


def by_commands(shop: Shop) -> None:
    """Runs that succeed, are rolled back and fail, and one that goes back."""
    project = shop.project
    shop.configure()
    project.pipeline("run")
    shop.commit("2")
    project.pipeline("run")
    shop.commit("3-broken")
    project.pipeline("run", code=4)
    shop.commit("4", _FAILING)
    project.pipeline("run", code=1)
    project.pipeline("rollback")


def by_the_daemon(shop: Shop) -> None:
    """What is queued: superseded, skipped, approved, cancelled; the daemon is killed in a rollback."""
    project, port = shop.project, free_port()
    project.pipeline("transition", "disable", "build", "--reason", "audit")
    with serving(project, "--public", f"127.0.0.1:{port}") as served:
        shop.commit("5")
        served.await_event("run.waiting")
        shop.commit("6")
        until(lambda: any(run.state == "superseded" for run in served.runs()), "a run that is superseded")
        project.write("notes.txt", "only notes\n")
        project.git("add", "--all")
        project.git("commit", "--quiet", "-m", "Notes [skip ci]")
        served.await_event("run.skipped")
        project.pipeline("transition", "enable", "build")
        await_calm(served)
        shop.commit("7", _APPROVAL)
        number = until(lambda: next((r.number for r in served.runs() if r.waits_for == "approval"), None), "a question")
        project.pipeline("approve", str(number), "-m", "looks good")
        await_calm(served)
        shop.commit("8", _SLOW)
        number = until(lambda: next((r.number for r in served.runs() if r.state == "running"), None), "a run")
        project.pipeline("cancel", str(number))
        await_calm(served)
        deliver(port)
        project.pipeline("transition", "disable", "deploy", "--reason", "the month's end")
        shop.commit("9")
        until(lambda: any("transition" in (r.waits_for or "") for r in served.runs()), "a run that waits", 90)
        shop.project.start("rollback")
        until(lambda: started(served), "a container of the rollback")
        served.kill()
    with project.store() as store:
        store.queue.put("shop", [Request(Trigger.SCHEDULE, "main")], mode="queued")


def started(served: Serving) -> bool:
    """Whether the latest run is a rollback that has started a container."""
    latest = served.runs()[-1]
    events = served.events("container.started")
    return latest.kind == "rollback" and bool(events) and events[-1].run == latest.number


def await_calm(served: Serving) -> None:
    """Wait until no run is left to be done."""
    until(lambda: all(run.state.over for run in served.runs()), "every run is over", 120)


def deliver(port: int) -> None:
    """A webhook, twice."""
    for _ in range(2):
        given = sent("github", payload("github"))
        request = urllib.request.Request(f"http://127.0.0.1:{port}{given.path}", given.body, dict(given.headers))
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=10).close()


def ask(shop: Shop) -> None:
    """Requests of every kind that the access log tells apart."""
    port = shop.project.port
    for number in range(40):
        for path in ("/", f"/item/{number}?page={number}", "/blog/", "/up"):
            request(port, path)
    for number in range(6):
        request(port, "/old/page?x=1")
        request(port, "/fail")
        request(port, "/spare/x")
        request(port, f"/slow?ms={20 * number}")
        request(port, "/echo", method="POST", body=b"x" * 100 * number)
        request(port, "/", method="HEAD")
        request(port, "/", method="TRACE")
        request(port, '/quo"te\\%20', headers={"User-Agent": 'Agent "one" \\ é', "X-Amzn-Trace-Id": "Root=1-2-3"})
        request(port, "/", headers={"X-Forwarded-For": ", ".join(["192.0.2.1"] * 31)})
        request(port, "/", headers={"Content-Length": "0, 0"})
        request(shop.secure, "/secure", secure=True)
        talk(port, b"GET / HTTP/1.1\r\nHost: shop\r\n\x01bad: 1\r\n\r\n")
        talk(port, b"GET /slow?ms=2000 HTTP/1.1\r\nHost: shop.example.com\r\n\r\n", waits=False)


def request(
    port: int,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    secure: bool = False,
) -> None:
    """One request on a connection of its own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
        if secure
        else http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    )
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": f"shop.example.com:{port}", "User-Agent": "make-home/1", **(headers or {})}.items():
        connection.putheader(name, value.encode())
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    connection.getresponse().read()
    connection.close()


def talk(port: int, content: bytes, *, waits: bool = True) -> None:
    """Bytes as they are; the client leaves at once where it does not wait."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(content)
        if waits:
            connection.recv(65536)


def record(root: Path, home: Home, base: str) -> None:
    """Keep as text what is to be kept."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    connection = sqlite3.connect(f"file:{home.database}?mode=ro", uri=True)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    dump = "".join(f"{line}\n" for line in (*connection.iterdump(), f"PRAGMA user_version={version};"))
    kept = {
        "penstock.sql": dump,
        "balancer/registry.json": (home.balancer / "registry.json").read_text(),
        "balancer/access.log": (home.balancer / "access.log").read_text(errors="surrogateescape"),
        "shop/pipeline.yaml": (root / "shop" / "pipeline.yaml").read_text(),
        "blog/pipeline.yaml": (root / "blog" / "pipeline.yaml").read_text(),
    }
    for folder in (home.spool, home.logs):
        for path in folder.rglob("*"):
            if path.is_file() and "artifacts" not in str(path):
                kept[str(path.relative_to(home.root))] = path.read_text()
    for name, text in kept.items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = text.replace(str(root), PLACE).replace(base, IMAGE)
        path.write_bytes(plain.encode(errors="surrogateescape"))


def main() -> None:
    """Make it, and remove what it was made with."""
    base = os.environ["PENSTOCK_BASE_IMAGE"]
    root = Path(tempfile.mkdtemp(prefix="home-"))
    home = Home.locate({"PENSTOCK_HOME": str(root / "home")})
    shop = Shop(Project(root / "shop", base, home).create())
    blog = Project(root / "blog", base, home, "blog").create()
    try:
        work(shop, blog)
        record(root, home, base)
    finally:
        for project in (shop.project, blog):
            project.remove()
        subprocess.run(["rm", "-rf", str(root)], check=True)


if __name__ == "__main__":
    main()
