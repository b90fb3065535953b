"""The container of the tests: its report, entrypoint, init, memory and files."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.docker.docker_cli import docker
from tests.docker.project import Project
from tests.docker.steps import configure, events, log, releasing, summary

pytestmark = pytest.mark.docker

GOOD = '<testsuite><testcase name="adds"/></testsuite>'
BAD = '<testsuite><testcase name="adds"/><testcase name="rounds"><failure/></testcase></testsuite>'


def image(project: Project, *lines: str) -> None:
    """Add lines to the Dockerfile that root runs."""
    dockerfile = project.directory / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("USER nobody", "\n".join([*lines, "USER nobody"])))


def run(project: Project, script: str, code: int = 0, **tests: Any) -> str:
    """Run a script as the tests and return the errors of the run."""
    configure(project, command=["sh", "-c", script], **tests)
    return project.pipeline("run", code=code).err


def warnings(project: Project) -> list[str]:
    """Return the warnings of builds and tests."""
    return [message for message, _ in events(project, "build.warning")]


def test_a_report_that_came_with_the_image(project: Project) -> None:
    """A report of the image does not count, neither in a folder nor in a volume. A link is named."""
    image(project, "RUN mkdir -p -m 777 /data /reports && ln -s /reports /linked")
    image(project, f"RUN echo '{BAD}' > /reports/old.xml && touch -d 2020-01-01 /reports/old.xml")
    image(project, "RUN cp -p /reports/old.xml /data", "VOLUME /data")
    for number, folder in enumerate(("/reports", "/data"), 1):
        run(project, "true", reports=folder)
        assert summary(project, number).endswith(", tests passed")
        assert warnings(project)[-1] == f"the tests wrote no report at {folder}; 1 file there came with the image"
    run(project, f"echo '{GOOD}' > /data/new.xml", reports="/data")
    run(project, f"echo '{GOOD}' > /linked/new.xml", reports="/linked/new.xml")
    assert [summary(project, run).endswith(", tests passed: 1 test") for run in (3, 4)] == [True, True]
    run(project, f"echo '{GOOD}' > /linked/new.xml", reports="/linked")
    assert warnings(project)[-1] == "test report: linked is a link to /reports: name that path"


def test_a_report_that_contradicts_the_exit_code(project: Project) -> None:
    """Tests that exit with 0 fail if their report names a failed test, unless only the exit code is trusted."""
    script = f"echo '{BAD}' > /tmp/junit.xml"
    message = "the tests exited with 0, but their report names 1 failed test: rounds"
    assert run(project, script, code=1, reports="/tmp/junit.xml").startswith(f"error: {message}\n")
    run(project, script, reports="/tmp/junit.xml", trust="exit_code")
    counts = {"tests": 2, "failed": 1, "skipped": 0, "names": "rounds"}
    assert events(project, "test.reported") == [("the report has 2 tests, 1 failed: rounds", counts)] * 2
    assert summary(project, 2).endswith(f", tests passed: 2 tests, 1 failed; warning: {message}")
    assert warnings(project) == [message]
    run(project, f"echo '{GOOD}' > /tmp/junit.xml; exit 3", reports="/tmp/junit.xml", trust="report")
    assert summary(project, 3).endswith(
        ", tests passed: 1 test; warning: the tests exited with 3, but their report names no failed test"
    )


def test_an_unreadable_report_beside_a_good_one(project: Project) -> None:
    """An unreadable file is named with its reason. The failed tests of the others are named too."""
    script = f"mkdir /tmp/r; echo '{BAD}' > /tmp/r/a.xml; echo '<testsuite>' > /tmp/r/b.xml; exit 1"
    error = run(project, script, code=1, reports="/tmp/r")
    assert error.startswith("error: the tests failed with exit code 1: rounds\n")
    assert warnings(project) == ["test report: r/b.xml is not XML: no element found: line 2, column 0"]


# The child takes the memory, so the kernel kills it and not the process that waits for it.
HUNGRY = "python3 -c 'x = bytearray(256 << 20)'; exit {}"


@pytest.mark.parametrize("code", [0, 3])
def test_a_child_that_runs_out_of_memory(code: int, project: Project) -> None:
    """If a child is killed for its memory, the command's own exit code is told, and that a process was killed."""
    error = run(project, HUNGRY.format(code), code=min(code, 1), memory="64MiB")
    child = "a process of the tests was killed, because they used more than 64 MiB (build.test.memory)"
    if code:
        assert error.startswith(f"error: the tests failed with exit code 3; {child}\n")
    else:
        assert warnings(project) == [f"{child}; they exited with 0"]


def test_tests_that_run_out_of_memory(project: Project) -> None:
    """Tests that are killed themselves ran out of memory."""
    error = run(project, "exec python3 -c 'x = bytearray(256 << 20)'", code=1, memory="64MiB")
    # Docker may report the exit before the lack of memory.
    assert re.match(r"error: the tests (used|.* 137; .*) more than 64 MiB \(build\.test\.memory\)", error)


ORPHANS = (
    "import os, time\n"
    "for _ in range(300):\n"
    "    if os.fork() == 0:\n"
    "        os.fork()\n"
    "        os._exit(0)\n"
    "    os.wait()\n"
)


def test_orphans_are_reaped(project: Project) -> None:
    """The tests have an init as process 1, which reaps orphans. Without it they fill the limit of processes."""
    configure(project, command=["python3", "-c", ORPHANS], pids=100)
    project.pipeline("run")
    configure(project, command=["python3", "-c", ORPHANS], pids=100, init=False)
    assert "BlockingIOError: [Errno 11] Resource temporarily unavailable" in project.pipeline("run", code=1).err


def test_shared_memory(project: Project) -> None:
    """`shm_size` is the size of /dev/shm in the tests and in what is deployed."""
    size = "df -k /dev/shm | tail -1 | awk '{print $2}'"
    configure(
        project,
        releasing(size),
        ("  stop_grace: 5s\n", "  stop_grace: 5s\n  shm_size: 96MiB\n  init: true\n"),
        command=["sh", "-c", size],
        shm_size="128MiB",
    )
    project.pipeline("run")
    assert (log(project, 1, "test"), log(project, 1, "release")) == ([str(128 << 10)], [str(96 << 10)])
    containers = project.containers()
    assert {_inspect(c.id, "{{.HostConfig.ShmSize}} {{.HostConfig.Init}}") for c in containers} == {f"{96 << 20} true"}


def test_one_rule_for_the_entrypoint(project: Project) -> None:
    """A command is passed to the image's ENTRYPOINT in the tests, the release command and what is deployed."""
    image(project, "RUN printf '#!/bin/sh\\necho entered $1\\nexec \"$@\"\\n' > /enter && chmod +x /enter")
    image(project, 'ENTRYPOINT ["/enter"]')
    configure(
        project,
        releasing("echo migrated"),
        ("  stop_grace: 5s\n", "  stop_grace: 5s\n  command: [python3, app.py]\n"),
        command=["echo", "tested"],
    )
    project.pipeline("run")
    assert log(project, 1, "test") == ["entered echo", "tested"]
    assert log(project, 1, "release") == ["entered sh", "migrated"]
    assert {_inspect(c.id, "{{.Path}} {{.Args}}") for c in project.containers()} == {"/enter [python3 app.py]"}


def test_an_entrypoint_that_is_replaced(project: Project) -> None:
    """`entrypoint` replaces the image's ENTRYPOINT. An empty one is none."""
    image(project, 'ENTRYPOINT ["/no/such/program"]')
    configure(
        project,
        releasing("echo migrated", ", entrypoint: []"),
        ("  stop_grace: 5s\n", "  stop_grace: 5s\n  entrypoint: [python3]\n  command: [app.py]\n"),
        command=["tested"],
        entrypoint=["echo"],
    )
    project.pipeline("run")
    assert (log(project, 1, "test"), log(project, 1, "release")) == (["tested"], ["migrated"])
    assert {_inspect(c.id, "{{.Path}} {{.Args}}") for c in project.containers()} == {"python3 [app.py]"}


def _inspect(container: str, form: str) -> str:
    return docker("inspect", "--format", form, container).strip()
