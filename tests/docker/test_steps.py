"""Containers besides the deployed ones: tests with services, retries and artifacts, and release commands."""

from __future__ import annotations

import io
import secrets
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pytest

from pipeline.api import Revision, StageContext
from pipeline.base.errors import Cancelled
from pipeline.config.load import load
from pipeline.engine.container import Container
from pipeline.engine.labels import ROLE_RELEASE, ROLE_TEST
from pipeline.events import Events
from pipeline.store.records import ReleaseState, RunState
from stages.build import DockerBuild
from tests.docker.fragile_engine import FragileEngine
from tests.docker.project import Project, Projects, docker, until
from tests.docker.steps import configure, events, log, releasing, summary
from tests.support.waiting import COMMAND_TIMEOUT, SOON

pytestmark = pytest.mark.docker

# A database that starts slowly. Then it accepts connections and GETs, and has created a file.
DATABASE = """\
import http.server, pathlib, time
print('reading its files', flush=True)
time.sleep(0.5)
pathlib.Path('/tmp/ready').touch()
http.server.HTTPServer(('', 5432), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
# Tests that end when a file is created from outside.
OBEDIENT = ["sh", "-c", "until [ -e /tmp/pass ]; do [ -e /tmp/fail ] && exit 1; sleep 0.05; done"]


def python(program: str) -> list[str]:
    """Return a command that runs a Python program."""
    return ["python3", "-c", program]


def service(project: Project, program: str, **more: Any) -> dict[str, Any]:
    """Return a service that runs a Python program."""
    return {"image": project.base_image, "command": python(program), **more}


def networks(project: Project) -> list[str]:
    """Return the networks that were created for tests."""
    labels = [f"penstock.home={project.home.id}", "penstock.role=test"]
    return docker("network", "ls", "-q", *(f"--filter=label={label}" for label in labels)).split()


def assert_no_steps(project: Project) -> None:
    """Assert that no container or network of tests, services and release commands is left."""
    assert [project.containers(role) for role in (ROLE_TEST, ROLE_RELEASE)] == [[], []]
    assert networks(project) == []


def running(project: Project, role: str = ROLE_TEST, other_than: tuple[str, ...] = ()) -> Container:
    """Wait for the only container of a step, and return it once it runs."""
    found = until(
        lambda: [c for c in project.containers(role) if c.state == "running" and c.id not in other_than],
        f"a {role} container runs",
    )
    assert len(found) == 1
    return found[0]  # type: ignore[no-any-return]


@pytest.fixture
def checked_image(base_image: str, tmp_path: Path) -> Iterator[str]:
    """An image whose HEALTHCHECK Docker would run for the first time after an hour."""
    (tmp_path / "checked").mkdir()
    dockerfile = f"FROM {base_image}\nHEALTHCHECK --interval=1h CMD test -e /tmp/ready\n"
    tag = f"penstock-test-checked:{secrets.token_hex(3)}"
    subprocess.run(
        ["docker", "build", "-q", "-t", tag, "-"], input=dockerfile, text=True, check=True, timeout=COMMAND_TIMEOUT
    )
    yield tag
    docker("image", "rm", tag)


def test_services_are_ready_before_the_tests(project: Project, checked_image: str) -> None:
    """Tests start once all kinds of readiness checks have passed, reach services by name, and leave nothing behind."""
    connect = "import socket; [socket.create_connection((name, 5432), 2) for name in ('tcp', 'http', 'own', 'checked')]"
    services = {
        "tcp": service(project, DATABASE, readiness={"tcp": 5432}),
        "http": service(project, DATABASE, readiness={"http": ":5432/"}),
        "own": service(project, DATABASE, readiness={"command": ["test", "-e", "/tmp/ready"]}),
        "checked": {**service(project, DATABASE), "image": checked_image},
    }
    configure(project, command=python(connect + "; print('reached')"), timeout="20s", services=services)
    project.pipeline("run")
    assert log(project, 1, "test") == ["reached"]
    assert [log(project, 1, f"service:{name}")[0] for name in services] == ["reading its files"] * 4
    assert [fields["service"] for _, fields in events(project, "service.ready")] == list(services)
    assert_no_steps(project)


def test_a_service_that_does_not_come_up(project: Project) -> None:
    """A service that does not become ready is reported with its last output, and the attempt is repeated."""
    stuck = service(
        project,
        "import time; print('no space for the journal', flush=True); time.sleep(60)",
        readiness={"tcp": 5432, "timeout": "500ms"},
    )
    configure(project, command=["true"], services={"db": stuck})
    result = project.pipeline("run", code=1)
    reason = "service db was not ready within 500ms: port 5432 does not accept connections"
    assert result.err == f"error: {reason} (2nd try)\n  | no space for the journal\n"
    assert events(project, "test.retry") == [
        (f"2nd try (infrastructure): {reason}", {"attempt": 2, "cause": "infrastructure", "reason": reason})
    ]
    assert_no_steps(project)


def test_a_service_that_ends_while_the_tests_run(project: Project) -> None:
    """A service that exits during the tests ends the attempt, and is named as the cause."""
    dying = service(project, "import time; time.sleep(0.5); print('out of luck'); raise SystemExit(7)")
    configure(project, command=["sleep", "60"], services={"db": dying}, retry={"infrastructure": 0})
    result = project.pipeline("run", code=1)
    assert result.err == "error: service db exited with code 7 while the tests ran\n  | out of luck\n"
    assert_no_steps(project)


def test_a_service_that_is_nowhere(project: Project) -> None:
    """A missing image of a service fails the stage before any test starts."""
    configure(project, command=["true"], services={"db": {"image": "localhost:1/no/such:db"}})
    result = project.pipeline("run", code=1)
    assert result.err.startswith(
        "error: service db's image localhost:1/no/such:db is missing and cannot be pulled: Docker: "
    )
    assert "(2nd try)" in result.err


def touch(container: Container, path: str) -> None:
    """Create a file that the program waits for. The container may exit before this returns."""
    subprocess.run(
        ["docker", "exec", container.id, "touch", path], capture_output=True, check=False, timeout=COMMAND_TIMEOUT
    )


def test_tests_are_tried_again(project: Project) -> None:
    """Tests are repeated up to `retry.failure` times. Each attempt keeps its artifacts, and the summary names it."""
    command = ["sh", "-c", f"hostname > /tmp/name; {OBEDIENT[-1]}"]
    configure(project, command=command, retry={"failure": 1}, artifacts=["/tmp/name"])
    run = project.start("run")
    first = running(project)
    touch(first, "/tmp/fail")
    second = running(project, other_than=(first.id,))
    touch(second, "/tmp/pass")
    project.finish(run)
    assert summary(project, 1).endswith(", tests passed on the 2nd try")
    assert events(project, "test.retry") == [
        (
            "2nd try (failure): the tests failed with exit code 1",
            {"attempt": 2, "cause": "failure", "reason": "the tests failed with exit code 1"},
        )
    ]
    kept = project.home.run_artifacts(project.name, 1)
    assert (kept / "tmp/name").read_text() == f"{first.id[:12]}\n"
    assert (kept / "try-2/tmp/name").read_text() == f"{second.id[:12]}\n"


def test_docker_goes_away_for_a_moment(project: Project, tmp_path: Path) -> None:
    """If Docker goes away, the tests run again once it is back, and nothing of the first attempt is left."""
    configure(project, command=OBEDIENT)
    path = tmp_path / "engine.sock"
    engine = FragileEngine(path)
    run = project.start("run", DOCKER_HOST=engine.host)
    first = running(project)
    engine.die()
    until(lambda: events(project, "test.retry"), "the second attempt")
    path.unlink()
    engine = FragileEngine(path)
    try:
        second = running(project, other_than=(first.id,))
        touch(second, "/tmp/pass")
        project.finish(run)
    finally:
        engine.die()
    assert [retry["cause"] for _, retry in events(project, "test.retry")] == ["infrastructure"]
    assert summary(project, 1).endswith(", tests passed on the 2nd try")
    project.assert_serving(release=1)


@pytest.mark.parametrize("code", [0, 1])
def test_artifacts_are_kept(code: int, project: Project) -> None:
    """Files and folders are kept with their size, whether tests pass or fail. Links are only reported."""
    script = (
        "mkdir -p /tmp/report/css && echo page > /tmp/report/index.html && echo style > /tmp/report/css/a.css"
        f" && ln -s /etc /tmp/report/etc && echo 12345 > /tmp/size && exit {code}"
    )
    configure(project, command=["sh", "-c", script], artifacts=["/tmp/report", "/tmp/size", "/tmp/nothing"])
    project.pipeline("run", code=code)
    kept = project.home.run_artifacts(project.name, 1)
    files = {str(path.relative_to(kept)): path.read_text() for path in kept.rglob("*") if not path.is_dir()}
    assert files == {"tmp/report/index.html": "page\n", "tmp/report/css/a.css": "style\n", "tmp/size": "12345\n"}
    assert [fields for _, fields in events(project, "artifact.kept")] == [
        {"path": "/tmp/report", "files": 2, "size": 11},
        {"path": "/tmp/size", "files": 1, "size": 6},
    ]
    assert [message for message, _ in events(project, "artifact.warning")] == [
        "1 entry of /tmp/report left out: only regular files are kept",
        "the tests left nothing at /tmp/nothing",
    ]


@pytest.mark.parametrize(("trap", "printed"), [("echo stopping; exit 0", ["begun", "stopping"]), ("", ["begun"])])
def test_cancelling_stops_the_tests(trap: str, printed: list[str], project: Project) -> None:
    """A cancelled test gets SIGTERM, then SIGKILL after the grace period, and its services are removed."""
    script = f"trap '{trap}' TERM; echo begun; while :; do sleep 0.05; done"
    configure(project, command=["sh", "-c", script], stop_grace="1s", services={"db": service(project, DATABASE)})
    run = project.start("run")
    until(lambda: log(project, 1, "test"), "the start of the tests")
    begin = time.monotonic()
    run.send_signal(signal.SIGINT)
    project.finish(run, code=130)
    assert time.monotonic() - begin < SOON
    assert log(project, 1, "test") == printed
    assert events(project, "test.retry") == []
    with project.store() as store:
        assert [r.state for r in store.runs.latest(project.name)] == [RunState.CANCELLED]
    assert_no_steps(project)


def test_cancelling_while_a_service_comes_up(project: Project) -> None:
    """A cancelled run does not wait for a service to become ready."""
    stuck = service(project, "import time; print('up', flush=True); time.sleep(60)", readiness={"tcp": 5432})
    configure(project, command=["true"], services={"db": stuck})
    run = project.start("run")
    until(lambda: log(project, 1, "service:db"), "the service is being waited for")
    run.send_signal(signal.SIGTERM)
    project.finish(run, code=130)
    assert_no_steps(project)


def test_a_runner_killed_during_its_tests(project: Project) -> None:
    """After a killed run the next command removes its tests, services and network."""
    services = {"db": service(project, DATABASE, readiness={"tcp": 5432})}
    configure(project, command=["sh", "-c", "echo begun; sleep 60"], services=services)
    project.crash("log:begun", "run")
    assert len(project.containers(ROLE_TEST)) == 2
    assert len(networks(project)) == 1
    project.pipeline("recover")
    assert_no_steps(project)


class DockerfileOnly:
    """A commit that holds a Dockerfile."""

    def __init__(self, dockerfile: str) -> None:
        self._dockerfile = dockerfile.encode()
        self.revision = Revision("0" * 40, "main", "", "", datetime.now(UTC), "")

    def tree(self, path: str) -> str:
        """Return a tree id per Dockerfile."""
        return f"{hash(self._dockerfile):040x}"

    @contextmanager
    def archive(self, path: str, ignored: Callable[[str], bool]) -> Iterator[IO[bytes]]:
        """Return the Dockerfile as the only file."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            member = tarfile.TarInfo("Dockerfile")
            member.size = len(self._dockerfile)
            tar.addfile(member, io.BytesIO(self._dockerfile))
        stream.seek(0)
        yield stream

    def read(self, path: str) -> bytes | None:
        """Return the Dockerfile as the only file."""
        return self._dockerfile if path == "Dockerfile" else None


class MemoryLog:
    """A run log in memory."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, stage: str, text: str) -> None:
        """Store one line."""
        self.lines.append(text)


def test_cancelling_ends_a_silent_build(project: Project) -> None:
    """Cancelling a silent build ends its step within seconds, and the thread."""
    step = f"sleep 1{secrets.randbelow(10**8):08}"
    heard, cancelled, before = MemoryLog(), threading.Event(), set(threading.enumerate())
    with project.store() as store:
        context = StageContext(
            home=project.home,
            configuration=load(project.directory / "pipeline.yaml"),
            run=1,
            store=store,
            events=Events(project.name),
            log=heard,
            cancelled=cancelled,
        )
        threading.Thread(target=_cancel_when_running, args=(step, cancelled), daemon=True).start()
        with pytest.raises(Cancelled):
            DockerBuild().build(context, DockerfileOnly(f"ARG BASE_IMAGE\nFROM $BASE_IMAGE\nRUN {step}\n"))
    assert any(step in line for line in heard.lines)
    begin = time.monotonic()
    until(lambda: step not in _processes(), "Docker has ended the build")
    until(lambda: set(threading.enumerate()) <= before, "no thread is left")
    assert time.monotonic() - begin < SOON


def _cancel_when_running(step: str, cancelled: threading.Event) -> None:
    until(lambda: step in _processes(), "Docker runs the step")
    cancelled.set()


def _processes() -> str:
    return subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT
    ).stdout


def test_cancelling_a_pull_from_a_registry_that_is_silent(project: Project) -> None:
    """Cancelling a pull returns at once, also if the registry does not respond."""
    with socket.create_server(("127.0.0.1", 0)) as registry:
        image = f"localhost:{registry.getsockname()[1]}/postgres:16"
        configure(project, command=["true"], services={"db": {"image": image}})
        run = project.start("run")
        registry.accept()[0].close()
        waiting, _ = registry.accept()
        begin = time.monotonic()
        run.send_signal(signal.SIGINT)
        project.finish(run, code=130)
        assert time.monotonic() - begin < SOON
        waiting.close()


@pytest.fixture
def volume(base_image: str) -> Iterator[str]:
    """A volume that any user may write to. Requested before the project, so that it is removed after it."""
    name = f"penstock-test-{secrets.token_hex(4)}"
    docker("run", "--rm", "-v", f"{name}:/data", base_image, "chmod", "777", "/data")
    yield name
    docker("volume", "rm", "-f", name)


def test_a_release_command_runs_once_before_its_release(volume: str, projects: Projects) -> None:
    """A release command runs in the release's image before its first replica, and not on a rollback."""
    project = projects(replicas=1)
    script = "cat version.txt >> /data/log; echo $PASSWORD-$COLOUR$STEP >> /data/log; echo migrated"
    environment = "  environment: {PASSWORD: '${secret:PASSWORD}', COLOUR: red}\n"
    configure(
        project,
        releasing(script, ", environment: {STEP: up}"),
        ("  stop_grace: 5s\n", f"  stop_grace: 5s\n{environment}  volumes: ['{volume}:/data']\n"),
    )
    project.pipeline("run", PASSWORD="hunter22")
    project.commit("2")
    project.pipeline("run", PASSWORD="hunter22")
    project.pipeline("rollback", PASSWORD="hunter22")
    written = docker("run", "--rm", "-v", f"{volume}:/data", project.base_image, "cat", "/data/log").splitlines()
    assert written == ["1", "hunter22-redup", "2", "hunter22-redup"]
    assert log(project, 2, "release") == ["migrated"]
    with project.store() as store:
        kinds = [event.kind for event in store.events.latest(project.name, 2)]
    assert kinds.index("release_command.finished") < kinds.index("container.starting")
    assert_no_steps(project)


def test_a_release_command_that_fails(service: Project) -> None:
    """A failed release command deploys nothing and leaves the active release alone."""
    service.configure(releasing("echo no such table: carts; exit 3"))
    service.commit("2")
    before = {c.id for c in service.containers()}
    with service.load() as load:
        result = service.pipeline("run", code=1)
        report = load.stop()
    assert result.err == (
        "error: the release command failed with exit code 3; release 1 stays active\n  | no such table: carts\n"
    )
    assert report.failed == 0, report.failures
    assert {c.id for c in service.containers()} == before
    service.assert_serving(release=1)
    with service.store() as store:
        assert [r.state for r in store.releases.all(service.name)] == [ReleaseState.FAILED, ReleaseState.ACTIVE]
        assert store.runs.latest(service.name)[0].state is RunState.FAILED
    assert_no_steps(service)


def test_a_release_command_that_fails_before_the_first_release(project: Project) -> None:
    """A failed release command of the first release leaves nothing behind."""
    configure(project, releasing("exit 1"))
    result = project.pipeline("run", code=1)
    assert result.err.startswith(
        "error: the release command failed with exit code 1; no release was active before, so "
    )
    project.assert_gone()
    assert_no_steps(project)


def test_a_release_command_that_does_not_end(service: Project) -> None:
    """A release command that exceeds its timeout gets SIGTERM, and the run fails."""
    script = "trap 'echo stopping; exit 0' TERM; while :; do sleep 0.05; done"
    service.configure(releasing(script, ", timeout: 500ms"))
    service.commit("2")
    result = service.pipeline("run", code=1)
    assert result.err == (
        "error: the release command was still running after 500ms: stopped; release 1 stays active\n  | stopping\n"
    )
    service.assert_serving(release=1)
    assert_no_steps(service)


def test_cancelling_a_release_command(service: Project) -> None:
    """A cancelled release command is stopped, and the active release is left alone."""
    service.configure(releasing("echo begun; sleep 60", ", stop_grace: 1s"))
    service.commit("2")
    run = service.start("run")
    until(lambda: log(service, 2, "release"), "the start of the release command")
    run.send_signal(signal.SIGINT)
    result = service.finish(run, code=130)
    assert "release 1 stays active" in result.err
    service.assert_serving(release=1)
    assert_no_steps(service)


def test_a_runner_killed_during_a_release_command(service: Project) -> None:
    """The next command removes a killed release command, and its release never becomes active."""
    service.configure(releasing("echo begun; sleep 60"))
    service.commit("2")
    service.crash("log:begun", "run")
    assert len(service.containers(ROLE_RELEASE)) == 1
    service.pipeline("recover")
    service.assert_serving(release=1)
    with service.store() as store:
        assert [r.state for r in store.releases.all(service.name)] == [ReleaseState.FAILED, ReleaseState.ACTIVE]
    assert_no_steps(service)
