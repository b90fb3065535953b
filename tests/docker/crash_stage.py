"""The service whose commands are killed at a side effect, and what must hold afterwards."""

from __future__ import annotations

import re
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import trustme

from pipeline.base.home import Home
from pipeline.engine.labels import LABEL_HOME
from pipeline.store.records import ReleaseState
from tests.docker.docker_cli import docker
from tests.docker.project import Project, Result
from tests.support.waiting import DEADLINE

DRIVER = Path(__file__).with_name("side_effects.py")
# Files of the balancer that exist only during a change.
_TEMPORARY = re.compile(r"draft\.|\..+\.\d+$|unfinished$")
# A second service. In a version with `bad` in its name it exits before it is healthy.
_WORK = "if grep -q bad version.txt; then exit 3; fi; touch /tmp/up; exec sleep 1000000"
_SERVICES = (
    "services: {web: {target_group: web, replicas: 2}, worker: {after: [web], init: true, "
    f"command: [sh, -c, '{_WORK}'], health_check: {{command: [test, -e, /tmp/up], interval: 1s}}}}}}"
)
# HAProxy reads commands into a buffer of 16 KiB, so it is reloaded for a certificate that is larger.
_MANY = 800


class Point(NamedTuple):
    """A moment before or after the `number`-th side effect of a name."""

    when: str
    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.when} {self.name}*{self.number}"


def points(names: list[str]) -> Iterator[Point]:
    """Yield the moments before and after each recorded side effect, in their order."""
    passed: Counter[str] = Counter()
    for name in names:
        passed[name] += 1
        yield Point("before", name, passed[name])
        yield Point("after", name, passed[name])


class Stage:
    """A service with two replicas and an HTTPS listener, and its certificates."""

    def __init__(self, folder: Path, base_image: str) -> None:
        self.folder = folder
        self.project = Project(folder / "shop", base_image, Home.locate({"PENSTOCK_HOME": str(folder / "home")}))
        self._record = folder / "record"
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        self._authority = trustme.CA()
        self._keys: list[str] = []
        self.version = 1
        self.name = ""
        self._timeout = "20s"
        self._strategy = "rolling"
        self.project.create()
        self._secure_port = self.project.port
        self.project.take_port()
        self.renew()
        self.declare()

    def declare(self, *rules: str) -> None:
        """Write pipeline.yaml with these rules for the HTTPS listener."""
        port = self.project.port
        plain = f"{{port: {port}, default_action: {{forward: web}}}}"
        secure = (
            f"{{port: {self._secure_port}, protocol: HTTPS, default_action: {{forward: web}}, "
            f"certificates: [{{certificate: {self.folder}/certificate.pem, private_key: {self.folder}/key.pem}}], "
            f"rules: [{', '.join(rules)}]}}"
        )
        services = [("target_group: web\n  replicas: 2", _SERVICES)] if self.project.workers else []
        self.project.configure(
            (f"[{plain}]", f"[{plain}, {secure}]"),
            ("deploy_timeout: 20s", f"deploy_timeout: {self._timeout}\n  strategy: {self._strategy}"),
            *services,
        )

    def add_worker(self) -> None:
        """Write pipeline.yaml with a second service, which has one replica."""
        self.project.workers = 1
        self.declare()

    def declare_timeout(self, timeout: str) -> None:
        """Write pipeline.yaml with a `deploy_timeout`."""
        self._timeout = timeout
        self.declare()

    def declare_strategy(self, strategy: str) -> None:
        """Write pipeline.yaml with a `strategy`."""
        self._strategy = strategy
        self.declare()

    def renew(self, names: int = 1) -> None:
        """Replace the certificate and its key. It names this many hosts, of which the first is unique."""
        self.version += 1
        self.name = f"v{self.version}.test"
        leaf = self._authority.issue_cert(self.name, *(f"host-{number}.test" for number in range(1, names)))
        leaf.private_key_pem.write_to_path(self.folder / "key.pem")
        (self.folder / "certificate.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        self._keys.append(leaf.private_key_pem.bytes().decode().splitlines()[2])

    def renew_large(self) -> None:
        """Replace the certificate by one for which HAProxy is reloaded."""
        self.renew(_MANY)

    def commit(self, suffix: str = "") -> None:
        """Commit a new version."""
        self.version += 1
        self.project.commit(f"{self.version}{suffix}")

    def run(self, *arguments: str, point: Point | None = None) -> Result:
        """Run a command, and kill it at a point."""
        self._record.unlink(missing_ok=True)
        driver = [str(DRIVER), str(self._record), str(point or "none")]
        return self.project.finish(
            self.project.start(*arguments, driver=driver, TMPDIR=str(self._temporary)), code=None
        )

    def side_effects(self) -> list[str]:
        """Return the names of the side effects of the last command."""
        return self._record.read_text().splitlines()

    def active(self) -> int | None:
        """Return the number of the active release."""
        with self.project.store() as store:
            active = store.releases.active(self.project.name)
        return active.number if active else None

    def served(self) -> list[int]:
        """Return the numbers of releases that are or were active, the latest first."""
        with self.project.store() as store:
            releases = store.releases.all(self.project.name)
        return [r.number for r in releases if r.state in (ReleaseState.ACTIVE, ReleaseState.RETIRED)]

    def retired(self) -> int:
        """Return the latest release that is no longer active."""
        return next(number for number in self.served() if number != self.active())

    def deployed(self) -> str:
        """Return the commit of the active release."""
        with self.project.store() as store:
            active = store.releases.active(self.project.name)
        return active.sha if active else ""

    def head(self) -> str:
        """Return the latest commit."""
        return self.project.git("rev-parse", "HEAD").strip()

    def shown(self) -> str:
        """Return the first name of the certificate that clients get."""
        pem = ssl.get_server_certificate(("127.0.0.1", self._secure_port), timeout=DEADLINE)
        found = re.search(rb"v\d+\.test", ssl.PEM_cert_to_DER_cert(pem))
        assert found
        return found[0].decode()

    def assert_whole(self) -> None:
        """Assert that the active release is complete, or nothing is there, and that nothing else is left."""
        active = self.active()
        if active is None:
            self.project.assert_gone()
        else:
            self.project.assert_serving(active)
        self.assert_tidy(active is not None)

    def assert_tidy(self, serving: bool) -> None:
        """Assert that no network, temporary file or private key is left."""
        label = f"label={LABEL_HOME}={self.project.home.id}"
        assert len(docker("network", "ls", "-q", "--filter", label).split()) == serving
        assert len(docker("ps", "-aq", "--filter", label).split()) == serving * (
            self.project.replicas + self.project.workers
        )
        assert [path.name for path in self.project.home.balancer.iterdir() if _TEMPORARY.match(path.name)] == []
        assert [path.name for path in self.project.home.root.rglob(".*")] == []
        assert sorted(self._temporary.iterdir()) == []
        assert self.files_with_keys() == ({self._keys[-1]: 1} if serving else {})

    def files_with_keys(self) -> dict[str, int]:
        """Return in how many files of the home each private key is."""
        texts = [
            path.read_bytes().decode(errors="replace")
            for folder in (self.project.home.root, self._temporary)
            for path in folder.rglob("*")
            if path.is_file()
        ]
        return {key: count for key in self._keys if (count := sum(key in text for text in texts))}

    def remove(self) -> None:
        """Remove everything."""
        self.project.remove()
