"""Everything that can be wrong with a repository, an image, an application or a machine, word for word."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.engine.labels import ROLE_TEST
from tests.docker.fragile_engine import FragileEngine
from tests.docker.project import Project, Projects, Result, until
from tests.support.waiting import COMMAND_TIMEOUT, SOON

pytestmark = pytest.mark.docker

SERVER = """\
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        status = {status}
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args): pass
print("listening on {port}", flush=True)
sys.stderr = open("/dev/null", "w")
http.server.ThreadingHTTPServer(("0.0.0.0", {port}), Handler).serve_forever()
"""


def told(result: Result) -> str:
    """Standard error, with the random part of names and the commit's id left out."""
    text = re.sub(r"\b(shop\.web\.r\d+)\.[0-9a-f]{6}", r"\1.…", result.err.strip())
    return re.sub(r"\b[0-9a-f]{7}\b", "…", text)


def serve_by(project: Project, app: str) -> None:
    """Make `app` the application, untested, with a patience in which it does start, however busy the machine is."""
    project.configure(
        ("  test: {command: [python3, -m, unittest], timeout: 30s}\n", ""),
        ("deploy_timeout: 20s\n  stop_grace: 5s", "deploy_timeout: 4s\n  stop_grace: 1s"),
    )
    project.write("app.py", app)
    project.commit("1")


@dataclass(frozen=True)
class BadApp:
    """An application that does not come up, and what is said of it."""

    claim: str
    app: str
    error: str


BAD_APPS = [
    BadApp(
        "it never listens",
        "import time; print('thinking', flush=True); time.sleep(60)",
        "shop.web.r1.… failed: it was not healthy for 4 s: Health checks failed: Connection refused",
    ),
    BadApp(
        "it listens on another port than the target group says",
        SERVER.format(status=200, port=9999),
        "shop.web.r1.… failed: it was not healthy for 4 s: Health checks failed: Connection refused",
    ),
    BadApp(
        "it answers its health check with 500",
        SERVER.format(status=500, port=8080),
        "shop.web.r1.… failed: it was not healthy for 4 s: Health checks failed with these codes: [500]",
    ),
    BadApp(
        "it exits at once",
        "print('cannot open config.toml', flush=True); raise SystemExit(78)",
        "shop.web.r1.… failed: its container exited with code 78",
    ),
]


@pytest.mark.parametrize("bad", BAD_APPS, ids=lambda bad: bad.claim)
def test_an_application_that_does_not_come_up(bad: BadApp, project: Project) -> None:
    """The reason, the last lines it printed, and that nothing is left of a first release."""
    serve_by(project, bad.app)
    result = project.pipeline("run", code=1)
    error, *tail = told(result).splitlines()
    # HAProxy does not always learn why it could not connect.
    reason = error.replace("Layer4 connection problem", "Connection refused")
    assert reason == f"error: {bad.error}; no release was active before, so it was removed"
    assert [line.strip() for line in tail if line.startswith("  ")] == [
        f"| {words}" for words in re.findall(r"print\(['\"](.*?)['\"], flush=True\)", bad.app)
    ]
    assert ("Connection refused" in reason) == any(line.startswith("hint: check that the app listens") for line in tail)
    project.assert_gone()


def test_an_application_that_becomes_unhealthy_half_way(service: Project) -> None:
    """The first new one fails its checks once it gets requests: the former release serves again, nothing was lost."""
    app = SERVER.format(status="200 if self.path == '/' and not used.append(1) else 500 if used else 200", port=8080)
    service.configure(
        ("  test: {command: [python3, -m, unittest], timeout: 30s}\n", ""),
        ("deploy_timeout: 20s\n  stop_grace: 5s", "deploy_timeout: 4s\n  stop_grace: 1s"),
        ("interval: 200ms", "interval: 200ms, unhealthy_threshold: 1"),
    )
    service.write("app.py", f"used = []\n{app}")
    service.commit("2")
    with service.load(posts=0) as load:
        result = service.pipeline("run", code=4)
        report = load.stop()
    assert told(result) == (
        "error: shop.web.r2.… failed: it was not healthy for 4 s: Health checks failed with these codes: [500]; "
        "release 1 is active again\n  | listening on 8080"
    )
    assert "is healthy and gets requests" in result.out
    assert report.failed == 0, report.failures
    service.assert_serving(release=1)


def test_tests_that_fail(project: Project) -> None:
    """Nothing is deployed; the last lines that the tests printed are shown."""
    project.write(
        "test_app.py", "import unittest\nclass T(unittest.TestCase):\n  def test(self): self.assertEqual(1, 2)\n"
    )
    project.commit("1")
    error, *tail = told(project.pipeline("run", code=1)).splitlines()
    assert error == "error: the tests failed with exit code 1"
    assert "  | AssertionError: 1 != 2" in tail
    project.assert_gone()


def test_tests_that_fail_are_named(project: Project) -> None:
    """Failed tests are named in the error, as the JUnit report of build.test.reports names them."""
    report = (
        '<testsuite><testcase classname="basket" name="total"><failure/></testcase><testcase name="ok"/></testsuite>'
    )
    project.configure(
        ("[python3, -m, unittest]", f"[sh, -c, 'echo ''{report}'' > /tmp/junit.xml; exit 1']"),
        ("timeout: 30s}", "timeout: 30s, reports: /tmp/junit.xml}"),
    )
    project.commit("1")
    assert told(project.pipeline("run", code=1)) == "error: the tests failed with exit code 1: basket.total"


def test_tests_that_hang(project: Project) -> None:
    """They are stopped, and what they printed until then is shown."""
    project.configure(
        ("[python3, -m, unittest]", "[sh, -c, 'echo waiting for the database; sleep 60']"),
        ("timeout: 30s}", "timeout: 2s, stop_grace: 1s}"),
    )
    project.commit("1")
    result = project.pipeline("run", code=1)
    assert told(result) == ("error: the tests were still running after 2s: stopped\n  | waiting for the database")
    project.assert_gone()


def test_tests_that_take_all_memory(project: Project) -> None:
    """They are killed by their limit, and the limit is named."""
    project.configure(
        ("[python3, -m, unittest]", "[python3, -c, 'b = bytearray(10**9)']"),
        ("timeout: 30s}", "timeout: 30s, memory: 64MiB}"),
    )
    project.commit("1")
    # Docker may report the exit before the lack of memory.
    assert re.fullmatch(
        r"error: the tests (used|failed with exit code 137; .*) more than 64 MiB \(build\.test\.memory\)(: killed)?",
        told(project.pipeline("run", code=1)),
    )


def test_a_test_command_that_is_not_in_the_image(project: Project) -> None:
    """The program is named, with the reason."""
    project.configure(("[python3, -m, unittest]", "[pytest]"))
    project.commit("1")
    assert told(project.pipeline("run", code=1)) == (
        "error: the tests cannot be started: pytest: No such file or directory\n"
        "hint: the image needs the program of build.test.command, or build.test.entrypoint"
    )


def test_a_command_that_is_not_in_the_image(project: Project) -> None:
    """The same for the application itself; nothing is left of it."""
    serve_by(project, "")
    project.configure(
        ("  test: {command: [python3, -m, unittest], timeout: 30s}\n", ""),
        ("replicas: 2", "replicas: 2\n  command: [gunicorn]"),
    )
    project.commit("1")
    assert told(project.pipeline("run", code=1)) == (
        'error: shop.web.r1.… cannot be started: exec: "gunicorn": executable file not found in $PATH; '
        "no release was active before, so it was removed"
    )
    project.assert_gone()


def test_a_dockerfile_with_an_unknown_instruction(project: Project) -> None:
    """The builder's own words, with the line."""
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUNN true\n")
    project.commit("1")
    assert told(project.pipeline("run", code=1)) == (
        "error: the build failed: dockerfile parse error line 3: unknown instruction: RUNN"
    )


def test_a_dockerfile_whose_step_fails(project: Project) -> None:
    """The step, and the last lines before it."""
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN echo compiling; exit 3\n")
    project.commit("1")
    error, *tail = told(project.pipeline("run", code=1)).splitlines()
    assert error == "error: the build failed in [2/2] RUN echo compiling; exit 3: exit code 3"
    assert tail == ["  | compiling"]


def test_a_build_that_hangs(project: Project) -> None:
    """It has a deadline, however silent it is; and Ctrl-C is heard at once."""
    project.write("Dockerfile", "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN sleep 60\n")
    project.configure(("build:\n", "build:\n  timeout: 4s\n"))
    project.commit("1")
    error, *tail = told(project.pipeline("run", code=1)).splitlines()
    assert error == "error: the build was still running after 4s: stopped"
    assert any(line.endswith(" [2/2] RUN sleep 60") for line in tail)
    project.configure()
    run = project.start("run")
    until(lambda: "RUN sleep 60" in project.pipeline("logs", "2", code=None).out, "its own step has begun")
    begin = time.monotonic()
    run.send_signal(signal.SIGINT)
    project.finish(run, code=130)
    assert time.monotonic() - begin < SOON, "it was waited for"
    project.assert_gone()


def test_no_dockerfile(project: Project) -> None:
    """It says where it was looked for."""
    (project.directory / "Dockerfile").unlink()
    project.commit("1")
    assert told(project.pipeline("run", code=1)) == (
        "error: commit … has no Dockerfile\n"
        "hint: build.context and build.dockerfile set its path, relative to the repository's root"
    )


def test_no_such_context(project: Project) -> None:
    """It says from where the folder is looked for."""
    project.configure(("build:\n", "build:\n  context: web\n"))
    project.commit("1")
    assert told(project.pipeline("run", code=2)) == (
        "error: commit … has no folder web\nhint: build.context is relative to the repository's root"
    )


def test_a_base_image_that_is_nowhere(project: Project) -> None:
    """It is said before anything is built."""
    project.write("Dockerfile", "FROM localhost:1/no/such:image\n")
    project.commit("1")
    error, hint = told(project.pipeline("run", code=1)).splitlines()
    assert error.startswith("error: base image localhost:1/no/such:image is missing and cannot be pulled: Docker: ")
    assert hint == "hint: name another in the Dockerfile, or in build.args where it is an argument"


def test_not_a_git_repository(project: Project) -> None:
    """With the commands that make it one."""
    shutil.rmtree(project.directory / ".git")
    assert told(project.pipeline("run", code=2)) == (
        f"error: source.repository: {project.directory} is not a git repository\n"
        "hint: make it one: git init && git add . && git commit -m 'First'"
    )


def test_a_repository_that_does_not_exist(project: Project) -> None:
    """The path as it was understood."""
    project.configure(("name: shop\n", "name: shop\nsource: {repository: ../nowhere}\n"))
    assert told(project.pipeline("run", code=2)) == (
        f"error: source.repository: {project.directory.parent}/nowhere does not exist\n"
        "hint: name a git repository, or a URL"
    )


def test_an_empty_repository(project: Project) -> None:
    """It has no commit yet."""
    shutil.rmtree(project.directory / ".git")
    project.git("init", "--quiet")
    assert told(project.pipeline("run", code=2)) == (
        f"error: {project.directory}/.git has no commit yet\nhint: git add . && git commit -m 'First'"
    )


@pytest.mark.parametrize(
    ("wanted", "hint"), [("mian", "did you mean main?"), ("v1.0", "known: main"), ("deadbeef", "known: main")]
)
def test_an_unknown_branch(wanted: str, hint: str, project: Project) -> None:
    """With the nearest one that there is."""
    assert told(project.pipeline("run", wanted, code=2)) == (
        f"error: there is no branch, tag or commit {wanted} in {project.directory}/.git\nhint: {hint}"
    )


def test_a_commit_that_looks_like_an_option(project: Project) -> None:
    """It never reaches git."""
    assert told(project.pipeline("run", "--", "--upload-pack=touch /tmp/x", code=2)) == (
        "error: '--upload-pack=touch /tmp/x' is not a branch, a tag or a commit"
    )


def test_a_submodule_without_a_url(project: Project) -> None:
    """It is refused with its path, and not silently left out."""
    project.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    project.git("commit", "--quiet", "-m", "Add lib")
    assert told(project.pipeline("run", code=1)) == (
        "error: submodule lib of commit …: .gitmodules has no URL for it\n"
        "hint: git submodule add URL lib, or exclude it in .dockerignore"
    )


def test_a_link_out_of_the_repository(project: Project) -> None:
    """A Dockerfile that is one is refused, and the text of the link is not taken for its content."""
    (project.directory / "Dockerfile").unlink()
    (project.directory / "Dockerfile").symlink_to("/etc/passwd")
    project.commit("1")
    assert told(project.pipeline("run", code=1)) == (
        "error: Dockerfile of commit … is a symbolic link that leads out of the repository\n"
        "hint: commit the file itself, or a link to a file of the repository"
    )


def test_a_port_that_another_program_has(project: Project) -> None:
    """It is said before anything is built."""
    with socket.create_server(("127.0.0.1", project.port)):
        result = project.pipeline("run", code=2)
    assert told(result) == (
        f"error: port {project.port} of load balancer edge of shop is taken by another program\n"
        f"hint: find it with `ss -ltnp 'sport = :{project.port}'`"
    )
    assert "Build" not in result.out


def test_a_port_of_another_pipeline(projects: Projects) -> None:
    """Both are named."""
    first, second = projects("shop"), projects("blog")
    second.port = first.port
    second.configure()
    first.pipeline("run")
    assert told(second.pipeline("run", code=2)) == (
        f"error: port {first.port} of load balancer edge of blog is taken by load balancer edge of shop\n"
        "hint: use another port, or leave default_action out to add rules to that listener"
    )
    first.assert_serving(release=1)


def test_docker_does_not_run(project: Project) -> None:
    """It says where it was looked for and how to start it."""
    result = project.pipeline("run", code=3, DOCKER_HOST="unix:///nowhere/docker.sock")
    assert told(result) == (
        "error: Docker is not running: no response at unix:///nowhere/docker.sock\n"
        "hint: start it with `systemctl start docker`"
    )


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[FragileEngine]:
    engine = FragileEngine(tmp_path / "engine.sock")
    yield engine
    engine.die()


def dies_during(project: Project, engine: FragileEngine, moment: Callable[[], object]) -> None:
    """Roll out while the engine dies at `moment`: a system fault, in words."""
    run = project.start("run", DOCKER_HOST=engine.host)
    until(moment, "the moment to die")
    engine.die()
    result = project.finish(run, code=3)
    failed = r"error: (connection to Docker at unix://\S+ failed: |Docker is not running: no response at unix://)"
    assert re.match(failed, told(result))


def test_docker_dies_during_the_tests(service: Project, fragile: FragileEngine) -> None:
    """Nothing was touched; the next command that works with Docker removes the test container."""
    service.configure(("[python3, -m, unittest]", "[python3, -c, 'import time; time.sleep(20)']"))
    service.commit("2")
    dies_during(service, fragile, lambda: [c.state for c in service.containers(ROLE_TEST)] == ["running"])
    service.configure()
    service.commit("2")
    service.pipeline("run")
    service.assert_serving(release=2)


def test_docker_dies_during_the_rollout(service: Project, fragile: FragileEngine) -> None:
    """A new container is registered by then; the next command removes it, and nothing is lost."""
    service.commit("2")
    with service.load() as load:
        dies_during(service, fragile, lambda: len(service.targets()) == 3)
        service.pipeline("recover")
        report = load.stop()
    assert report.failed == 0, report.failures
    service.assert_serving(release=1)


def test_the_disk_of_the_database_is_full(tmp_path: Path, base_image: str, projects: Projects) -> None:
    """The run ends with what to do, and goes on where there is room again."""
    project = projects()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    small = project.home.root
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=800k,mode=700", "none", str(small)], check=False, timeout=COMMAND_TIMEOUT
    ).returncode:
        pytest.skip("this machine does not let us mount anything")
    try:
        filler = small / "filler"
        project.pipeline("history")
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        result = project.pipeline("run", code=3)
        assert "No space left on device" in result.err or "the disk is full" in result.err
        assert "Traceback" not in result.err
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True, timeout=COMMAND_TIMEOUT)
        project.pipeline("run")
        with project.store() as store:
            active = store.releases.active("shop")
            assert active is not None
            project.assert_serving(release=active.number)
        project.remove()
    finally:
        until(
            lambda: subprocess.run(["umount", str(small)], check=False, timeout=COMMAND_TIMEOUT).returncode == 0,
            "the small disk is free",
        )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["rollback"],
            "there is no previous release to roll back to\n"
            "hint: it must have been active before: `pipeline releases` shows the state of each",
        ),
        (["rollback", "7"], "there is no release 7\nhint: `pipeline releases` lists them"),
        (["run", "--wait", "soon"], "--wait: 'soon' is not a valid duration; write 500ms, 30s, 2m or 1h"),
        (
            ["run", "-p", "replicas"],
            "-p replicas: this home has no pipeline of this name\nhint: a parameter has the form NAME=VALUE",
        ),
        (["run", "-p", "size=3"], "pipeline.yaml: -p size=3: unknown parameter"),
        (["logs", "9"], "there is no run 9\nhint: list runs with `pipeline history`"),
    ],
)
def test_commands_that_make_no_sense_here(arguments: list[str], error: str, project: Project) -> None:
    """Each says what would."""
    assert told(project.pipeline(*arguments, code=2)) == f"error: {error}"
