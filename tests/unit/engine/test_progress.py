"""The error for a build that BuildKit failed, from what it printed."""

from __future__ import annotations

import pytest

from pipeline.base.errors import CacheVanished, EngineFault, StageFailed
from pipeline.engine.docker.progress import Progress

# As printed by docker 20.10.24, and by the plug-in buildx.
FAILED_STEP = """\
#4 [1/2] FROM host.test/library/base:1
#4 CACHED
#5 [2/3] RUN one
#5 0.210 fine
#6 [3/3] RUN echo hello && exit 3
#6 sha256:12f9a09a382cd6e661b7fea42d3d11a77ada417b838312a5e77c63fce8be6d27
#5 0.211 of another step
#6 0.210 hello
#6 0.211 #7 0.5 looks like progress
#6 ERROR: {error}
------
 > [3/3] RUN echo hello && exit 3:
0.210 hello
------
{last}
"""
OLD = "executor failed running [/bin/sh -c echo hello && exit 3]: exit code: 3"
NEW = 'process "/bin/sh -c echo hello && exit 3" did not complete successfully: exit code: 3'


def failure(text: str, dockerfile: str = "") -> StageFailed | EngineFault:
    progress = Progress()
    for line in text.splitlines():
        progress.add(line)
    return progress.failure(1, dockerfile)


@pytest.mark.parametrize(
    ("error", "last"),
    [(OLD, OLD), (OLD, f"ERROR: failed to build: failed to solve: {OLD}"), (NEW, f"ERROR: failed to solve: {NEW}")],
)
def test_a_failed_step(error: str, last: str) -> None:
    """The step, its exit code and its own last lines, in the words of every version."""
    found = failure(FAILED_STEP.format(error=error, last=last))
    assert isinstance(found, StageFailed)
    assert found.message == "the build failed in [3/3] RUN echo hello && exit 3: exit code 3"
    assert found.tail == ("hello", "#7 0.5 looks like progress")


@pytest.mark.parametrize(
    ("text", "kind", "message", "hint"),
    [
        (
            "failed to solve with frontend dockerfile.v0: failed to create LLB definition: "
            "dockerfile parse error line 2: Unknown flag: link",
            StageFailed,
            "the build failed: dockerfile parse error line 2: Unknown flag: link",
            "23.0",
        ),
        (
            "ERROR: failed to build: failed to solve: dockerfile parse error on line 3: unknown flag: --exclude",
            StageFailed,
            "the build failed: dockerfile parse error on line 3: unknown flag: --exclude",
            "29.0",
        ),
        (
            '#5 [2/2] COPY b /a\n#5 ERROR: "/b" not found: not found\nfailed to compute cache key: "/b" not found',
            StageFailed,
            'the build failed in [2/2] COPY b /a: "/b" not found: not found',
            None,
        ),
        (
            "#3 resolve image config for host.test/docker/dockerfile:1\n#3 ERROR: failed to do request: no such host",
            EngineFault,
            "the build failed in resolve image config for host.test/docker/dockerfile:1: failed to do request: "
            "no such host",
            "`# syntax=` of the Dockerfile needs host.test/docker/dockerfile:1",
        ),
        (
            "#3 [internal] load metadata for host.test/library/a:1\n#3 ERROR: pull access denied",
            EngineFault,
            "the build failed in [internal] load metadata for host.test/library/a:1: pull access denied",
            "docker login",
        ),
        (
            "#5 [2/2] RUN dd\n#5 0.1 dd: writing to '/x': No space left on device\n"
            "#5 ERROR: executor failed running [/bin/sh -c dd]: exit code: 1",
            EngineFault,
            "the build failed in [2/2] RUN dd: exit code 1",
            "docker system df",
        ),
        (
            "#6 exporting to image\n#6 ERROR: write /var/lib/docker/x: no space left on device",
            EngineFault,
            "the build failed in exporting to image: write /var/lib/docker/x: no space left on device",
            "docker system df",
        ),
        (
            "Cannot connect to the Docker daemon at unix:///a.sock. Is the docker daemon running?",
            EngineFault,
            "the build failed: Cannot connect to the Docker daemon at unix:///a.sock. Is the docker daemon running?",
            None,
        ),
        (
            "#5 [2/2] RUN sleep\nfailed to solve: rpc error: code = Unavailable desc = error reading from server: EOF",
            EngineFault,
            "the build failed: error reading from server: EOF",
            None,
        ),
        (
            "#5 [2/2] RUN true\n#5 0.1 exec /bin/sh: exec format error\n#5 ERROR: process failed: exit code: 1",
            StageFailed,
            "the build failed in [2/2] RUN true: exit code 1",
            "build.platforms",
        ),
        ("", StageFailed, "the build failed: docker ended with exit code 1", None),
    ],
)
def test_other_failures(text: str, kind: type, message: str, hint: str | None) -> None:
    """Faults of Docker and of a registry may be tried again, and those of the Dockerfile are not."""
    found = failure(text)
    assert type(found) is kind
    assert found.message == message
    assert (hint in str(found.hint)) if hint else found.hint is None


def test_a_heredoc() -> None:
    """The error of a syntax without heredocs is about the next line. The Dockerfile says what is meant."""
    error = "failed to solve: dockerfile parse error line 3: unknown instruction: ECHO"
    assert "23.0" in str(failure(error, "FROM a\nRUN <<EOF\necho a\nEOF\n").hint)
    assert failure(error, "FROM a\nECHO a << b\n").hint is None


def test_a_cached_image_that_was_removed() -> None:
    """The next build may succeed."""
    assert isinstance(failure("#5 ERROR: failed to set parent sha256:0: unknown parent image ID"), CacheVanished)


def test_a_long_build_keeps_the_last_lines_of_recent_steps() -> None:
    """Memory does not grow with the output."""
    progress = Progress()
    for step in range(1000):
        progress.add(f"#{step} [{step}/1000] RUN x")
        for line in range(30):
            progress.add(f"#{step} 0.{line} line {line}")
    progress.add("#999 ERROR: exit code: 1")
    found = progress.failure(1, "")
    assert found.message == "the build failed in [999/1000] RUN x: exit code 1"
    assert found.tail == tuple(f"line {line}" for line in range(10, 30))
