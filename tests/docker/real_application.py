"""A real application from its Compose file to service, under load: `python -m tests.docker.real_application django`.

It needs x86_64, the network for `prepare.sh`, Pebble and the images of the application. `--image` replaces one, such as
`--image postgres:15=my-postgres:15`. It ends with a table, and exits with 1 if anything was lost.
"""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
from cryptography.x509 import load_pem_x509_certificate

from pipeline.base.home import Home
from pipeline.testing.load.load import Load
from pipeline.testing.load.profile import LoadProfile
from pipeline.testing.load.report import PhaseReport
from tests.docker.application_clients import Orders, Socket, orders
from tests.docker.docker_cli import docker
from tests.docker.project import Project, until
from tests.docker.serving import Serving, serving
from tests.support.paths import ROOT
from tests.support.pebble import Pebble, pebble
from tests.support.ports import free_ports
from tests.support.waiting import LONGEST_TIMEOUT

DEPLOYMENTS = 5
RATE = 25.0
DOMAIN = "shop.example.com"
# The slowest machine may take this long for one deployment, in seconds.
DEADLINE = 300.0
# What Compose has no words for. The files in examples/ have the same in their README.
VERSION = ("deploy:\n  environment:\n", "    VERSION: ${short_commit}\n")
ADDITIONS = {
    "django": [
        VERSION,
        ("      target_group: web\n", "      on_drain: {command: [touch, /tmp/draining]}\n"),
        (
            "      after: [web]\n",
            '    nightly: {command: [python3, manage.py, purge], schedule: "0 3 * * *"}\n',
        ),
        (
            "      unhealthy_threshold: 30\n",
            "    backup: {command: [pg_dump, -U, shop, -Fc, shop]}\n"
            "    restore: {command: [pg_restore, -U, shop, -d, shop, --clean, --if-exists]}\n",
        ),
    ],
    "node": [
        VERSION,
        ("      target_group: web\n", "      on_drain: {signal: SIGUSR2}\n"),
        ("      after: [web]\n", '    nightly: {command: [node, purge.js], schedule: "0 3 * * *"}\n'),
    ],
}
SECRETS = "SECRET_KEY=a-long-text-for-tests\nDB_PASSWORD=a-password\nREDIS_PASSWORD=another-one\n"
LISTENER = """\
        - port: {port}
          protocol: HTTPS
          certificates: [{{acme: {acme}}}]
          default_action: {{forward: web}}
"""


class Lost(Exception):
    """Something was lost, or is not as it should be."""


@dataclass
class Application:
    """An application in a new repository and a new home."""

    project: Project
    kind: str
    https: int
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def prepare(self, images: Sequence[tuple[str, str]]) -> None:
        """Copy the example with its packages, and with images in place of others."""
        folder = self.project.directory
        shutil.copytree(ROOT / "examples" / self.kind, folder, ignore=shutil.ignore_patterns("pipeline.yaml"))
        subprocess.run([str(folder / "prepare.sh")], check=True, timeout=LONGEST_TIMEOUT)
        for name in ("Dockerfile", "compose.yaml"):
            text = (folder / name).read_text()
            for old, new in images:
                text = text.replace(old, new)
            self.project.write(name, text)
        self.project.write(".env", f"{SECRETS}PORT={self.project.port}\n")
        self.project.git("init", "--quiet", "--initial-branch=main")

    def translate(self, authority: Pebble) -> None:
        """Import the Compose file, add what it has no words for, and commit."""
        arguments = ("import", "compose", "compose.yaml", "--output", "pipeline.yaml", "--secrets", ".secrets")
        sys.stdout.write(self.project.pipeline(*arguments).err)
        text = (self.project.directory / "pipeline.yaml").read_text()
        for place, more in ADDITIONS[self.kind]:
            assert place in text
            text = text.replace(place, place + more, 1)
        acme = repr(authority.declared(DOMAIN)).replace("True", "true")
        self.project.write("pipeline.yaml", text + LISTENER.format(port=self.https, acme=acme))
        self.project.commit("1")
        for command in ("validate", "plan"):
            sys.stdout.write(self.project.pipeline(command).out)
        self.project.pipeline("secrets", "check")

    def version(self, *, secure: bool = False) -> str:
        """Return the version that is served, over HTTPS with `secure`."""
        return self.get("/version", secure=secure)

    def get(self, path: str, *, secure: bool = False) -> str:
        """Return a page, over HTTPS with `secure`."""
        url = f"https://127.0.0.1:{self.https}" if secure else f"http://127.0.0.1:{self.project.port}"
        untrusted = ssl.create_default_context()
        untrusted.check_hostname = False
        untrusted.verify_mode = ssl.CERT_NONE
        with urllib.request.urlopen(url + path, context=untrusted if secure else None, timeout=15) as answer:
            return str(answer.read().decode())

    def issuer(self) -> str:
        """Return the issuer of the certificate that is served."""
        pem = ssl.get_server_certificate(("127.0.0.1", self.https), timeout=15)
        return load_pem_x509_certificate(pem.encode()).issuer.rfc4514_string()

    def deploy(self, daemon: Serving, version: int, *, kill_at: str = "") -> float:
        """Commit a version and wait until the daemon has deployed it. Return how long that took, in seconds.

        With `kill_at`, the daemon is killed by SIGKILL once it has emitted an event of this kind, and started again.
        """
        seen = len(daemon.events(kill_at)) if kill_at else 0
        begun, commit = time.monotonic(), self.project.commit(str(version))
        if kill_at:
            daemon.await_event(kill_at, seen + 1, DEADLINE)
            daemon.kill()
            daemon.start()
        until(lambda: any(run.sha == commit for run in daemon.runs()), "a run of the commit")
        number = next(run.number for run in daemon.runs() if run.sha == commit)
        daemon.await_run(number, deadline=DEADLINE)
        if (served := self.version()) != commit[:7]:
            raise Lost(f"{commit[:7]} was deployed, and {served} is served")
        return time.monotonic() - begun

    def note(self, phase: PhaseReport, took: float) -> None:
        """Add a row of a phase of the load."""
        self.rows.append(
            (phase.name, f"{phase.sent}", f"{phase.failed}", f"{phase.longest_gap:.0f} ms", f"{took:.1f} s")
        )


def deployments(application: Application, daemon: Serving) -> None:
    """Deploy five versions, and one whose daemon is killed, with clients that lose nothing."""
    port = application.project.port
    stored = orders(port)["count"]
    took: dict[str, float] = {}
    clients = (Orders(port), Socket(port))
    with Load.start(LoadProfile(f"http://127.0.0.1:{port}/version", RATE, posts=0)) as load:
        for client in clients:
            client.start()
        for number in range(2, 2 + DEPLOYMENTS):
            load.mark(name := f"deployment {number - 1}")
            took[name] = application.deploy(daemon, number)
        load.mark(name := "SIGKILL of the daemon")
        took[name] = application.deploy(daemon, 2 + DEPLOYMENTS, kill_at="target.draining")
        for client in clients:
            client.finish()
        report = load.stop()
    for phase in report.phases:
        if phase.name in took:
            application.note(phase, took[phase.name])
    sender, socket = clients
    arrived = orders(port)["count"] - stored
    application.rows.append(("orders", f"{sender.sent}", f"{len(sender.failures)}", "", f"{arrived} stored"))
    closings = f"{socket.goodbyes} goodbyes, {socket.cuts} cuts"
    away = f"{socket.away * 1000:.0f} ms"
    application.rows.append(("WebSocket messages", f"{socket.done}", f"{len(socket.failures)}", away, closings))
    failures = [*report.failures, *sender.failures, *socket.failures]
    if failures or arrived != sender.sent or socket.cuts:
        raise Lost(f"{arrived} of {sender.sent} orders stored, {closings}: {failures[:5]}")


def jobs(application: Application) -> None:
    """Run the nightly job, and wait until the worker has shipped each order."""
    sys.stdout.write(application.project.pipeline("job", "run", "nightly").out)

    def all_shipped() -> bool:
        found = orders(application.project.port)
        return found["count"] == found["shipped"]

    begun = time.monotonic()
    until(all_shipped, "the worker has shipped all orders", deadline=10 * DEADLINE, interval=1.0)
    application.rows.append(("all orders shipped", "", "0", "", f"{time.monotonic() - begun:.1f} s"))


def restore(application: Application, before: int) -> None:
    """Back up, remove everything, lose the volume, start again and restore: the orders are there."""
    project, has_backup = application.project, application.kind == "django"
    begun = time.monotonic()
    if has_backup:
        sys.stdout.write(project.pipeline("accessory", "backup", "db").out)
    project.pipeline("down")
    if has_backup:
        docker("volume", "rm", f"{project.name}_db")
        project.pipeline("accessory", "start")
        sys.stdout.write(project.pipeline("accessory", "restore", "db", "--yes").out)
    project.pipeline("run")
    after = orders(project.port)["count"]
    application.rows.append(
        ("down and back", f"{before}", f"{before - after}", "", f"{time.monotonic() - begun:.1f} s")
    )
    if after != before:
        raise Lost(f"{before} orders were there, and {after} are")
    project.pipeline("down")


def play(application: Application, folder: Path, images: Sequence[tuple[str, str]]) -> None:
    """Play everything. Raises `Lost`."""
    project = application.project
    application.prepare(images)
    with pebble(folder) as authority:
        application.translate(authority)
        begun = time.monotonic()
        sys.stdout.write(project.pipeline("run").out)
        application.rows.append(("first run", "", "", "", f"{time.monotonic() - begun:.1f} s"))
        with serving(project) as daemon:
            daemon.await_event("certificate.issued")
            until(lambda: "Pebble" in application.issuer(), "HTTPS with the certificate from Pebble")
            if application.version(secure=True) != application.version():
                raise Lost("HTTPS serves another version")
            if application.kind == "django" and "teal" not in application.get("/static/shop.css"):
                raise Lost("the static files are not served")
            deployments(application, daemon)
            jobs(application)
        restore(application, orders(project.port)["count"])


@contextmanager
def new_application(kind: str, folder: Path) -> Iterator[Application]:
    """Make an application in a folder, and remove all that it leaves in Docker."""
    name = f"{kind}-{folder.name[-6:].lower().strip('_')}"
    home = Home.locate({"PENSTOCK_HOME": str(folder / "home")})
    project = Project(folder / name, "", home, name)
    project.take_port()
    try:
        yield Application(project, kind, free_ports(1)[0])
    finally:
        project.remove()
        volumes = docker("volume", "ls", "--quiet", "--filter", f"name=^{re.escape(name)}_").split()
        if volumes:
            docker("volume", "rm", *volumes)


@click.command()
@click.argument("kind", type=click.Choice([*ADDITIONS]))
@click.option("--image", "images", multiple=True, metavar="OLD=NEW", help="Use an image in place of another.")
def main(kind: str, images: tuple[str, ...]) -> None:
    """Play the life of an example, and print what was lost."""
    replaced = [(old, new) for old, _, new in (each.partition("=") for each in images)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="real-application-")))
        application = stack.enter_context(new_application(kind, folder))
        lost = ""
        try:
            play(application, folder, replaced)
        except Lost as error:
            lost = str(error)
    for row in (("PHASE", "SENT", "FAILED", "LONGEST GAP", "TOOK"), *application.rows):
        click.echo("{:24}{:>8}{:>8}{:>13}  {}".format(*row))
    if lost:
        raise SystemExit(lost)


if __name__ == "__main__":
    main()
