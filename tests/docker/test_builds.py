"""Dockerfiles that need BuildKit, and what a build must not leave behind."""

from __future__ import annotations

import base64
import secrets
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipeline.base.errors import ConfigError, EngineFault, StageFailed
from tests.docker.docker_cli import docker
from tests.docker.project import Project
from tests.support.builders import BuilderUnderTest, docker_builder
from tests.support.waiting import COMMAND_TIMEOUT, DEADLINE, until

pytestmark = pytest.mark.docker

# What the syntax that is built into an older Docker refuses, with the version that does not.
TOO_NEW = {
    "RUN <<EOF\necho a\nEOF\n": "23.0",
    "COPY <<EOF /a\nsome text\nEOF\n": "23.0",
    "COPY --link app.py /\n": "23.0",
    "RUN --network=none true\n": "23.0",
    "ADD --checksum=sha256:0123 https://127.0.0.1:1/a /\n": "25.0",
    "COPY --exclude=*.md . /a\n": "29.0",
}
# Dockerfiles with a command and its output in the image.
DOCKERFILES = {
    "a cache": (
        "FROM BASE\nRUN --mount=type=cache,target=/c echo 1 >> /c/n && wc -l < /c/n > /n && test -s /n\n",
        "test -s /n && ls /c | wc -l",
        "0\n",
    ),
    "a secret": (
        "FROM BASE\nRUN --mount=type=secret,id=token test \"$(cat /run/secrets/token)\" = 'a b' && echo yes > /n\n",
        "cat /n; ls /run/secrets 2>&1 | grep -c token || true",
        "yes\n0\n",
    ),
    "a secret at a path": (
        "FROM BASE\nRUN --mount=type=secret,id=token,target=/t,mode=0400 wc -c < /t > /n\n",
        "cat /n",
        "3\n",
    ),
    "a file of the context": (
        "FROM BASE\nRUN --mount=type=bind,source=app.py,target=/app.py cp /app.py /n\n",
        "cat /n; ls /app.py 2>/dev/null || true",
        "print(1)\n",
    ),
    "a file of another stage": (
        "FROM BASE AS one\nRUN echo made > /made\nFROM BASE\nRUN --mount=from=one,target=/one cp /one/made /n\n",
        "cat /n",
        "made\n",
    ),
    "a tmpfs": (
        "FROM BASE\nRUN --mount=type=tmpfs,target=/t echo x > /t/x && df -P /t | tail -1 | cut -d' ' -f1 > /n\n",
        "cat /n; ls /t | wc -l",
        "tmpfs\n0\n",
    ),
    "a copy with a mode": ("FROM BASE\nCOPY --chmod=751 app.py /n\n", "stat -c %a /n", "751\n"),
    "a copy with an owner": ("FROM BASE\nCOPY --chown=7:8 app.py /n\n", "stat -c %u:%g /n", "7:8\n"),
    "a copy from an image": ("FROM scratch AS none\nFROM BASE\nCOPY --from=BASE /etc/hostname /n\n", "ls /n", "/n\n"),
    "the platform": (
        "FROM --platform=$BUILDPLATFORM BASE\nARG TARGETARCH\nARG BUILDPLATFORM\n"
        "RUN echo $TARGETARCH $BUILDPLATFORM > /n\n",
        "cat /n",
        "amd64 linux/amd64\n",
    ),
    "a stage that is not needed": (
        "FROM BASE AS unused\nRUN exit 1\nFROM BASE\nRUN echo fine > /n\n",
        "cat /n",
        "fine\n",
    ),
}


_PRINT_SECRET = "RUN --mount=type=secret,id=token,uid=65534 cat /run/secrets/token"


@pytest.fixture(params=["command", "buildx"])
def tested(request: pytest.FixtureRequest, base_image: str, tmp_path: Path) -> Iterator[BuilderUnderTest]:
    """BuildKit, with a file of an application in its context."""
    with docker_builder(request.param, tmp_path, base_image) as tested:
        (tmp_path / "app.py").write_text("print(1)\n")
        yield tested


@pytest.mark.parametrize("kind", DOCKERFILES)
def test_a_dockerfile_with(tested: BuilderUnderTest, kind: str) -> None:
    """It builds, and the image has the result (docker/docker-py#2230)."""
    dockerfile, command, output = DOCKERFILES[kind]
    image = tested.build(dockerfile, secrets={"token": "a b"})
    assert tested.files(image, command) == output


@pytest.mark.parametrize("step", TOO_NEW)
def test_syntax_that_docker_does_not_know_is_refused_with_the_version_that_does(
    tested: BuilderUnderTest, step: str
) -> None:
    """The hint names it. A newer Docker builds instead."""
    if int(docker("version", "--format", "{{.Server.Version}}").split(".")[0]) >= 23:
        pytest.skip("this Docker knows some of it")
    with pytest.raises(StageFailed) as caught:
        tested.build(f"FROM BASE\n{step}")
    assert f"needs Docker {TOO_NEW[step]} or newer" in str(caught.value.hint)


def test_a_syntax_line_whose_image_cannot_be_pulled(tested: BuilderUnderTest) -> None:
    """The hint names the line."""
    with pytest.raises(EngineFault) as caught:
        tested.build("# syntax=127.0.0.1:1/dockerfile:1\nFROM BASE\n")
    assert "`# syntax=`" in str(caught.value.hint)
    assert "127.0.0.1:1/dockerfile:1" in str(caught.value.hint)


class EmptyAgent(socketserver.BaseRequestHandler):
    """An SSH agent without keys."""

    asked: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        """Answer each request for the keys."""
        while request := self.request.recv(1024):
            self.asked.append(request)
            self.request.sendall(bytes([0, 0, 0, 5, 12, 0, 0, 0, 0]))


def test_an_agent_is_mounted(tested: BuilderUnderTest, tmp_path: Path) -> None:
    """A step that mounts `type=ssh` reaches the agent."""
    path = tmp_path / "agent.sock"
    (tmp_path / ".dockerignore").write_text("agent.sock")
    connect = "import os,socket;s=socket.socket(socket.AF_UNIX);s.connect(os.environ['SSH_AUTH_SOCK'])"
    ask = f"{connect};s.sendall(bytes([0,0,0,1,11]));print(s.makefile('rb').read(9).hex(), '{secrets.token_hex(4)}')"
    with socketserver.ThreadingUnixStreamServer(str(path), EmptyAgent) as agent:
        threading.Thread(target=agent.serve_forever, daemon=True).start()
        try:
            image = tested.build(f'FROM BASE\nRUN --mount=type=ssh python3 -c "{ask}" > /n\n', ssh=(f"default={path}",))
        finally:
            agent.shutdown()
    assert tested.files(image, "cut -d' ' -f1 /n") == "000000050c00000000\n"
    assert bytes([0, 0, 0, 1, 11]) in EmptyAgent.asked


def test_a_secret_is_nowhere(tested: BuilderUnderTest, tmp_path: Path) -> None:
    """It is in no argument, environment, file, history, layer or line of output."""
    value = f"sesame-{secrets.token_hex(12)}"
    steps = (
        "RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /n && sleep 1 && head -c 4000000 /dev/zero > /z"
    )
    with ThreadPoolExecutor(1) as pool:
        built = pool.submit(tested.build, f"FROM BASE\nARG M={value[-4:]}\n{steps}\n", secrets={"token": value})
        until(lambda: "iidfile" in _arguments(), "the docker command")
        seen, files = _arguments() + _environments(), _new_files_with(value, tmp_path / "app.py")
        image = built.result(DEADLINE)
    places = {
        "arguments and environments": seen,
        "output": "\n".join(tested.lines),
        "history": docker("history", "--no-trunc", image),
        "configuration": docker("image", "inspect", image),
        "layers": _layers(image),
        "files": files,
    }
    forms = (value, base64.b64encode(value.encode()).decode())
    assert [place for place, text in places.items() if any(form in text for form in forms)] == []
    assert tested.files(image, "cat /n") == f"{len(value)}\n"


def _arguments() -> str:
    return "\n".join(_read(path) for path in Path("/proc").glob("[0-9]*/cmdline"))


def _environments() -> str:
    return "\n".join(_read(path) for path in Path("/proc").glob("[0-9]*/environ"))


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _layers(image: str) -> str:
    saved = subprocess.run(["docker", "save", image], capture_output=True, check=True, timeout=COMMAND_TIMEOUT).stdout
    return saved.decode(errors="replace")


def _new_files_with(value: str, older: Path) -> str:
    """Return the files with a value that were written after another file."""
    find: list[str | Path] = ["find", "/tmp", "/dev/shm", "-type", "f", "-newer", older, "-size", "-64k"]
    grep = ["-exec", "grep", "-l", value, "{}", "+"]
    names = subprocess.run([*find, *grep], capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT).stdout
    return "".join(f"{value} in {name}" for name in names.split())


def test_a_key_for_the_agent_that_is_not_there(tested: BuilderUnderTest) -> None:
    """The error is Docker's own."""
    with pytest.raises(StageFailed, match=r"(?i)no such file|ssh"):
        tested.build("FROM BASE\nRUN --mount=type=ssh true\n", ssh=("default=/none/agent.sock",))


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"secrets": {"a": "b"}}, "build.secrets"),
        ({"ssh": ("default",)}, "build.ssh"),
        ({"cache_to": ("type=inline",)}, "build.cache_to"),
        ({"cache_from": ("type=local,src=/a",)}, "build.cache_from"),
    ],
)
def test_the_classic_builder_refuses_what_it_cannot(
    base_image: str, tmp_path: Path, options: dict[str, Any], key: str
) -> None:
    """The error names the key, the builder and the remedy."""
    with docker_builder("classic", tmp_path, base_image) as tested:
        with pytest.raises(ConfigError, match=rf"{key}: .*the classic builder, because DOCKER_BUILDKIT is 0") as caught:
            tested.build("FROM BASE\n", **options)
        assert "docker-buildx" in str(caught.value.hint)
        with pytest.raises(StageFailed, match="requires BuildKit") as caught_step:
            tested.build("FROM BASE\nRUN --mount=type=cache,target=/c true\n")
        assert "docker-buildx" in str(caught_step.value.hint)


def test_images_as_sources_of_cache(tested: BuilderUnderTest) -> None:
    """An image that is not there costs nothing. What a command cannot do is refused."""
    assert tested.build(
        "FROM BASE\nRUN true\n", cache_from=("127.0.0.1:1/none:1", "type=registry,ref=127.0.0.1:1/none:2")
    )
    local = ("type=local,src=/none",)
    if "buildx" in tested.builder.description:
        tested.builder.check(tested.spec("FROM BASE\n", cache_from=local, cache_to=("type=inline",)))
    else:
        refused: list[dict[str, Any]] = [{"cache_from": local}, {"cache_to": ("type=inline",)}]
        for options in refused:
            with pytest.raises(ConfigError, match=r"build\.cache_(from|to)"):
                tested.build("FROM BASE\n", **options)


def test_one_platform(tested: BuilderUnderTest) -> None:
    """The steps see it."""
    image = tested.build("FROM BASE\nARG TARGETPLATFORM\nRUN echo $TARGETPLATFORM > /n\n", platforms=("linux/amd64",))
    assert tested.files(image, "cat /n") == "linux/amd64\n"


def test_a_run_shows_its_builder_and_masks_a_secret(project: Project) -> None:
    """The log of a run has the builder's name and each step, and no secret, even if a step prints it."""
    project.configure(("  test:", "  secrets: {token: '${secret:TOKEN}'}\n  test:"))
    dockerfile = project.directory / "Dockerfile"
    dockerfile.write_text(f"{dockerfile.read_text()}\n{_PRINT_SECRET}; exit 3\n")
    project.commit("2")
    value = f"sesame-{secrets.token_hex(8)}"
    of_a_killed_run = project.home.contexts(project.name) / "99"
    for left in (of_a_killed_run, of_a_killed_run.with_name("99.draft")):
        left.mkdir(parents=True)
    failed = project.pipeline("run", code=None, TOKEN=value)
    log = "".join(path.read_text() for path in project.home.logs.rglob("*.jsonl"))
    assert "exit code 3" in f"{failed}"
    assert "builder: docker build" in log
    assert _PRINT_SECRET in log
    assert "***" in log
    assert value not in f"{failed}{log}"
    assert list(project.home.root.glob("contexts/*/*")) == []


def test_every_input_of_an_image_counts(project: Project) -> None:
    """Changed inputs are built again, and unchanged ones are not (GoogleContainerTools/kaniko#870)."""
    tag = f"penstock-test-{secrets.token_hex(4)}:stable"
    dockerfile = project.directory / "Dockerfile"
    dockerfile.write_text(f"{dockerfile.read_text()}\nCOPY --from={tag} /etc/hostname /from-elsewhere\n")
    project.configure(("  test:", "  secrets: {token: '${secret:TOKEN}'}\n  test:"))
    project.commit("2")
    try:
        docker("tag", project.base_image, tag)
        assert "reused" not in f"{project.pipeline('run', TOKEN='one')}"
        assert "reused" in f"{project.pipeline('run', '--force', TOKEN='one')}"
        assert "reused" not in f"{project.pipeline('run', '--force', TOKEN='two')}"
        with _variant(project.base_image) as other:
            docker("tag", other, tag)
            assert "reused" not in f"{project.pipeline('run', '--force', TOKEN='two')}"
    finally:
        docker("rmi", tag)


def test_a_remote_file_is_read_for_each_run(project: Project, tmp_path: Path) -> None:
    """An image with `ADD http://…` is never reused, since the file may have changed."""
    (tmp_path / "remote").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "remote"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            dockerfile = project.directory / "Dockerfile"
            address = f"http://127.0.0.1:{server.server_port}/a"
            dockerfile.write_text(f"{dockerfile.read_text()}\nADD {address} /remote\n")
            project.commit("2")
            for content in ("first", "second, longer"):
                (tmp_path / "remote" / "a").write_text(content)
                assert "reused" not in f"{project.pipeline('run', '--force')}"
                with project.store() as store:
                    active = store.releases.active(project.name)
                assert active is not None
                assert docker("run", "--rm", "--user=0", active.image_id, "cat", "/remote") == content
        finally:
            server.shutdown()
    log = "".join(path.read_text() for path in project.home.logs.rglob("*.jsonl"))
    assert f"ADD {address} is read again" in log


@contextmanager
def _variant(image: str) -> Iterator[str]:
    """Yield another image with the same files."""
    container = docker("create", image).strip()
    try:
        yield docker("commit", "--change", f"LABEL variant={container}", container).strip()
    finally:
        docker("rm", container)
