"""A web and a worker in one release, under load: deployed, rolled back, killed, repaired and taken down."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial

import pytest

from pipeline.engine.labels import LABEL_HOME, LABEL_RELEASE, LABEL_SERVICE
from tests.docker.docker_cli import docker
from tests.docker.project import Project, until
from tests.docker.serving import serving

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

# A worker of a version with `bad` in its name exits, and one with `sick` fails its check.
_WORK = (
    "import pathlib, sys, time; v = pathlib.Path('version.txt').read_text(); 'bad' in v and sys.exit(3); "
    "print('working', flush=True); time.sleep(10**6)"
)
_CHECK = "import pathlib, sys; sys.exit('sick' in pathlib.Path('version.txt').read_text())"
_WORKER = f'{{replicas: 2, after: [web], init: true, command: [python3, -c, "{_WORK}"], HEALTH}}'
SERVICES = f"services: {{web: {{target_group: web, replicas: 2}}, worker: {_WORKER}}}"
UPTIME = "health_check: {uptime: 0s}"
# Longer than a bad worker runs.
SETTLED = "health_check: {uptime: 10s}"
COMMAND = f'health_check: {{command: [python3, -c, "{_CHECK}"], interval: 1s, unhealthy_threshold: 1}}'


def declare(project: Project, health: str = UPTIME, timeout: str = "20s") -> None:
    """Write a pipeline.yaml with both services."""
    project.configure(
        ("target_group: web\n  replicas: 2", SERVICES.replace("HEALTH", health)),
        ("deploy_timeout: 20s", f"deploy_timeout: {timeout}"),
    )


def counts(project: Project) -> Counter[tuple[str, str, str]]:
    """Return the number of containers by service, release and state."""
    return Counter((c.labels[LABEL_SERVICE], c.labels[LABEL_RELEASE], c.state) for c in project.containers())


def names(project: Project) -> dict[str, set[str]]:
    """Return the names of the containers by service."""
    found: dict[str, set[str]] = {}
    for container in project.containers():
        found.setdefault(container.labels[LABEL_SERVICE], set()).add(container.name)
    return found


def assert_whole(project: Project, release: int) -> None:
    """Assert that both services are of one release, that nothing else is there and nothing is in progress."""
    number = str(release)
    assert counts(project) == {("web", number, "running"): 2, ("worker", number, "running"): 2}
    assert {target.target.id for target in project.targets() if target.state == "healthy"} == {
        c.name for c in project.containers() if c.labels[LABEL_SERVICE] == "web"
    }
    with project.store() as store:
        active = store.releases.active(project.name)
        assert active is not None
        assert active.number == release
        assert store.deployments.open(project.name) is None


def is_whole(project: Project, release: int) -> bool:
    """Return whether both services are whole, as `assert_whole` says."""
    try:
        assert_whole(project, release)
    except AssertionError:
        return False
    return True


@pytest.fixture
def services(project: Project) -> Project:
    """A project whose release 1 has both services."""
    declare(project)
    project.commit("1")
    project.pipeline("run")
    assert_whole(project, 1)
    return project


def test_a_commit_replaces_both_services(services: Project) -> None:
    """No request is lost. A rollback brings both back, and a down leaves nothing. The web finds workers by name."""
    web = next(c.name for c in services.containers() if c.labels[LABEL_SERVICE] == "web")
    workers = {c.address for c in services.containers() if c.labels[LABEL_SERVICE] == "worker"}
    resolve = "import socket; print(*socket.gethostbyname_ex('worker')[2])"
    assert set(docker("exec", web, "python3", "-c", resolve).split()) == workers
    services.commit("2")
    with services.load() as load:
        services.pipeline("run")
        assert_whole(services, 2)
        services.pipeline("rollback")
        assert_whole(services, 1)
        report = load.stop()
    assert report.failed == 0, report.failures
    services.pipeline("down")
    services.assert_gone()


@pytest.mark.parametrize(
    ("version", "health", "reason"),
    [("2-bad", SETTLED, "its container exited with code 3"), ("2-sick", COMMAND, "its health check")],
)
def test_a_worker_that_fails_rolls_the_web_back_too(services: Project, version: str, health: str, reason: str) -> None:
    """Whether it exits or fails its check. No request is lost."""
    declare(services, health, timeout="15s")
    services.commit(version)
    with services.load() as load:
        result = services.pipeline("run", code=4)
        report = load.stop()
    assert reason in result.err + result.out, result
    assert_whole(services, 1)
    assert report.failed == 0, report.failures


# Moments of a deployment of both services: at the end of the web's part, and in the worker's part.
@pytest.mark.parametrize("point", ["container.removed*2", "container.started*3", "container.removed*4"])
def test_killed_while_both_are_replaced(services: Project, point: str) -> None:
    """The next command puts both services back. No request is lost, and no container is left."""
    services.commit("2")
    with services.load() as load:
        services.crash(point, "run")
        services.pipeline("recover")
        report = load.stop()
    assert report.failed == 0, report.failures
    assert_whole(services, 1)


def test_killed_while_both_are_rolled_back(services: Project) -> None:
    """The next command completes the rollback."""
    declare(services, SETTLED)
    services.commit("2-bad")
    with services.load() as load:
        services.crash("rollback.started", "run")
        services.pipeline("recover")
        report = load.stop()
    assert report.failed == 0, report.failures
    assert_whole(services, 1)


def test_the_daemon_repairs_each_service(services: Project) -> None:
    """A container that is removed by hand comes back, in the service that it was of."""
    with serving(services):
        for service in ("worker", "web"):
            name = next(c.name for c in services.containers() if c.labels[LABEL_SERVICE] == service)
            docker("rm", "-f", name)
            until(partial(is_whole, services, 1), "a repair")


def test_each_service_is_scaled_restarted_and_read(services: Project) -> None:
    """By its name. The web keeps its containers, and what removed workers have printed stays."""
    before = names(services)
    services.pipeline("scale", "worker=3")
    services.pipeline("restart", "worker")
    after = names(services)
    assert after["web"] == before["web"]
    assert (len(after["worker"]), before["worker"] & after["worker"]) == (3, set())
    output = services.pipeline("logs", "--app", "--json", "--service", "worker").out
    lines = [json.loads(line) for line in output.splitlines()]
    assert {line["text"] for line in lines} == {"working"}
    assert before["worker"] <= {line["replica"] for line in lines}
    assert "has several services" in services.pipeline("scale", "3", code=2).err
    assert "has several services" in services.pipeline("exec", "--", "true", code=2).err
    services.pipeline("exec", "worker", "--", "true")


def test_a_worker_alone_needs_no_balancer(project: Project) -> None:
    """It is healthy by the HEALTHCHECK of its image, and neither a listener nor HAProxy is there."""
    text = (project.directory / "pipeline.yaml").read_text()
    text = text[: text.index("balancer:")].replace("  target_group: web\n", "")
    (project.directory / "pipeline.yaml").write_text(text)
    dockerfile = (project.directory / "Dockerfile").read_text()
    project.write("Dockerfile", dockerfile.replace("HEALTHCHECK CMD", "HEALTHCHECK --interval=1s CMD"))
    project.commit("1")
    assert "healthy" in project.pipeline("run").out
    statuses = docker("ps", "--filter", f"label={LABEL_HOME}={project.home.id}", "--format", "{{.Status}}").split("\n")
    assert sum("(healthy)" in status for status in statuses) == 2
    assert not (project.home.balancer / "haproxy.pid").exists()
    project.commit("2")
    project.pipeline("run")
    assert {c.labels[LABEL_RELEASE] for c in project.containers()} == {"2"}
    project.pipeline("down")
    project.assert_gone()
