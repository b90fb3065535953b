"""Contract of `ImageBuilder`, kept by every builder."""

from __future__ import annotations

import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import Cancelled, ConfigError, StageFailed, StoreFault
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_RUN
from tests.support.builders import BuilderUnderTest, docker_builder, fake_builder
from tests.support.waiting import COMMAND_TIMEOUT, DEADLINE, SOON, until

DOCKER = [pytest.param(kind, marks=pytest.mark.docker) for kind in ("classic", "command", "buildx")]


@pytest.fixture
def tested(request: pytest.FixtureRequest, base_image: str, tmp_path: Path) -> Iterator[BuilderUnderTest]:
    """A builder under test."""
    kind = request.param
    with fake_builder(tmp_path) if kind == "fake" else docker_builder(kind, tmp_path, base_image) as tested:
        yield tested


every = pytest.mark.parametrize("tested", ["fake", *DOCKER], indirect=True)
real = pytest.mark.parametrize("tested", DOCKER, indirect=True)


@every
def test_an_image_has_its_tag_and_labels(tested: BuilderUnderTest) -> None:
    """The id is that of the engine, and every line of output is passed on."""
    spec = tested.spec("FROM BASE\n", labels={LABEL_PIPELINE: "shop", LABEL_RUN: "7", "title": 'it\'s "a" $b'})
    image = tested.builder.build(spec, tested.lines.append, threading.Event(), timedelta(minutes=1))
    images = tested.engine.images
    assert images.id(image) == images.id(spec.tag) == image
    assert images.for_pipeline("shop") == {image: "7"}
    assert any("FROM" in line for line in tested.lines)


@every
def test_a_build_without_the_cache_runs_every_step(tested: BuilderUnderTest) -> None:
    """Its image is another one, and a build with the cache gives the same image again."""
    dockerfile = f"FROM BASE\nRUN cat /proc/sys/kernel/random/uuid > /made # {secrets.token_hex(8)}\n"
    first, again = tested.build(dockerfile), tested.build(dockerfile)
    uncached = tested.build(dockerfile, no_cache=True)
    assert first == again
    assert uncached != first


@every
def test_a_cancelled_build_ends(tested: BuilderUnderTest) -> None:
    """It raises `Cancelled`, and nothing of it runs on."""
    mark = f"{secrets.randbelow(10**8):08}"
    dockerfile = tested.stall(mark)
    with ThreadPoolExecutor(1) as pool:
        built = pool.submit(tested.build, dockerfile)
        until(lambda: tested.is_stalled(tested.lines), "the begin of the build")
        begin = time.monotonic()
        tested.cancelled.set()
        with pytest.raises(Cancelled):
            built.result(DEADLINE)
    until(lambda: f"sleep 6{mark}" not in _processes(), "the end of the step")
    assert time.monotonic() - begin < SOON


@every
def test_a_build_ends_after_its_timeout(tested: BuilderUnderTest) -> None:
    """It raises `TimeoutError`, and nothing of it runs on."""
    mark = f"{secrets.randbelow(10**8):08}"
    with pytest.raises(TimeoutError):
        tested.build(tested.stall(mark), timeout=timedelta(seconds=1))
    until(lambda: f"sleep 6{mark}" not in _processes(), "the end of the step")


@every
def test_a_line_that_cannot_be_passed_on_ends_the_build(tested: BuilderUnderTest) -> None:
    """The error of the listener is raised."""

    def full(_: str) -> None:
        raise StoreFault("the disk is full")

    with pytest.raises(StoreFault, match="the disk is full"):
        tested.builder.build(tested.spec("FROM BASE\n"), full, threading.Event(), timedelta(minutes=1))


@real
def test_a_failed_step_is_named_with_its_exit_code_and_last_lines(tested: BuilderUnderTest) -> None:
    """The error has what is needed to find the cause."""
    with pytest.raises(StageFailed, match=r"RUN echo last words.*: .*(exit code|non-zero code:) 3") as caught:
        tested.build("FROM BASE\nRUN echo last words && exit 3\n")
    assert "last words" in "\n".join(caught.value.tail)


@real
def test_an_invalid_dockerfile_is_the_users_fault(tested: BuilderUnderTest) -> None:
    """The error names the line."""
    with pytest.raises(StageFailed, match=r"(?i)unknown instruction: nonsense"):
        tested.build("FROM BASE\nNONSENSE a\n")


@real
def test_a_missing_file_is_the_users_fault(tested: BuilderUnderTest) -> None:
    """The error names the file."""
    with pytest.raises(StageFailed, match=r"nothing\.txt"):
        tested.build("FROM BASE\nCOPY nothing.txt /\n")


@real
def test_patterns_named_after_the_dockerfile(tested: BuilderUnderTest) -> None:
    """BuildKit prefers them, and the classic builder does not know them."""
    for name in ("common.txt", "own.txt"):
        (tested.folder / name).write_text(name)
    (tested.folder / ".dockerignore").write_text("common.txt")
    (tested.folder / "Dockerfile.dockerignore").write_text("own.txt")
    image = tested.build("FROM BASE\nCOPY . /context/\n")
    kept = "common.txt" if tested.builder.knows_own_ignore else "own.txt"
    assert [name for name in tested.files(image, "ls /context").split() if name.endswith("txt")] == [kept]


@real
def test_dockerignore_leaves_files_out(tested: BuilderUnderTest) -> None:
    """Files keep their mode, and ignored ones are not in the image."""
    for name in ("app.py", "secret.txt", "docs/a.md", "docs/b.txt"):
        (tested.folder / name).parent.mkdir(exist_ok=True)
        (tested.folder / name).write_text(name)
    (tested.folder / "app.py").chmod(0o751)
    (tested.folder / "link").symlink_to("app.py")
    (tested.folder / ".dockerignore").write_text("secret.txt\ndocs\n!docs/a.md\nDockerfile\n.dockerignore\n")
    image = tested.build("FROM BASE\nCOPY . /context\n")
    found = tested.files(image, "cd /context && find . -type f -o -type l | sort && stat -c '%a %u %g' app.py")
    # The builders differ in whether they keep a Dockerfile that is ignored.
    assert [name for name in found.split("\n") if "ockerf" not in name and "dockerignore" not in name] == [
        "./app.py",
        "./docs/a.md",
        "./link",
        "751 0 0",
        "",
    ]


@real
def test_a_target_and_arguments(tested: BuilderUnderTest) -> None:
    """The image is that of the stage, and steps see the arguments."""
    dockerfile = "ARG NAME\nFROM BASE AS first\nARG NAME\nRUN echo $NAME > /name\nFROM first\nRUN exit 1\n"
    image = tested.build(dockerfile, target="first", args={"NAME": "a b,c"})
    assert tested.files(image, "cat /name") == "a b,c\n"


@real
def test_stages_leave_no_image_without_a_tag(tested: BuilderUnderTest) -> None:
    """What a build leaves is removed with its image, and a failed build leaves nothing."""
    mark = secrets.token_hex(4)
    stages = f"FROM BASE AS one\nRUN echo {mark} > /one\nFROM BASE\nRUN echo {mark} > /two\n"
    before = _untagged()
    with pytest.raises(StageFailed):
        tested.build(f"{stages}FROM BASE\nCOPY --from=one /one /none /\n")
    first = tested.build(f"{stages}COPY --from=one /one /\n")
    second = tested.build(f"{stages}COPY --from=one /one /other\n")
    assert tested.engine.images.remove(first)
    assert tested.engine.images.remove(second)
    assert _of(mark, _untagged() - before) == []


@real
def test_what_a_builder_cannot_do_is_refused(tested: BuilderUnderTest) -> None:
    """Several platforms need an image store that this engine does not have. The error names the key."""
    spec = tested.spec("FROM BASE\n", platforms=("linux/amd64", "linux/arm64"))
    with pytest.raises(ConfigError, match=r"build\.platforms"):
        tested.builder.check(spec)
    with pytest.raises(ConfigError, match=r"build\.platforms"):
        tested.builder.build(spec, tested.lines.append, threading.Event(), timedelta(minutes=1))


def _processes() -> str:
    return subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT
    ).stdout


def _untagged() -> set[str]:
    command = ["docker", "images", "--all", "--quiet", "--no-trunc", "--filter", "dangling=true"]
    return set(
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT).stdout.split()
    )


def _of(mark: str, images: set[str]) -> list[str]:
    """Return the images whose history contains a mark. Other tests build at the same time."""
    command = ["docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}"]
    histories = {
        i: subprocess.run([*command, i], capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT).stdout
        for i in images
    }
    return [image for image, history in histories.items() if mark in history]
