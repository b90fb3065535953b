"""Commands beside a daemon of a version that cannot read what this one writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline import __version__
from pipeline.base.errors import SystemFault
from pipeline.base.home import Home
from pipeline.base.lock import work_lock
from pipeline.base.sockets import private_socket
from pipeline.http.client import Daemon
from pipeline.http.serving import control_config, http_server
from tests.support.command_line import pipeline
from tests.support.pipeline_yaml import MINIMAL

PREVIOUS = {"version": "0.1.0", "pipelines": ["shop"]}
# The name is known only after the parameters, so the file is loaded first.
NAMED_BY_A_PARAMETER = MINIMAL.replace("name: shop", "name: ${n}\nparameters: {n: {default: shop}}")


@contextmanager
def daemon(home: Home, answer: dict[str, object]) -> Iterator[None]:
    """A daemon of the home that gives `answer` to `GET /v1`, and nothing else."""

    def about(_: Request) -> JSONResponse:
        return JSONResponse(answer)

    app = Starlette(routes=[Route("/v1", about)])
    server: AbstractContextManager[object] = http_server(
        lambda: control_config(app), private_socket(home.daemon_socket)
    )
    with work_lock(home.daemon_lock, "pipeline serve"), server:
        yield


@pytest.mark.parametrize(
    "command",
    [
        ["run"],
        ["rollback"],
        ["down"],
        ["retry", "1"],
        ["cancel", "1"],
        ["recover"],
        ["serve"],
        ["watch"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("served", ["shop", "blog"])
def test_a_command_that_acts_is_refused_beside_an_older_daemon(command: list[str], served: str, home: Home) -> None:
    """It says which process to restart and changes nothing, also if the daemon manages other pipelines only."""
    with daemon(home, {**PREVIOUS, "pipelines": [served]}):
        done = pipeline(*command)
    assert done.returncode == 3
    assert done.stderr == (
        f"error: the daemon (pid {os.getpid()}) is of version 0.1.0 and cannot read what version {__version__} writes\n"
        "hint: restart the daemon: `systemctl restart penstock`, or stop it and start `pipeline serve` again\n"
    )
    assert not home.database.exists()


def test_a_pipeline_named_by_a_parameter_is_refused_too(home: Home) -> None:
    """The daemon is asked before the name is known."""
    Path("pipeline.yaml").write_text(NAMED_BY_A_PARAMETER)
    with daemon(home, PREVIOUS):
        assert "is of version 0.1.0" in pipeline("run").stderr
    assert not home.database.exists()


@pytest.mark.parametrize("command", ["status", "history", "releases", "events", "validate", "balancer"])
def test_a_command_that_only_looks_works_beside_an_older_daemon(command: str, home: Home) -> None:
    """It uses the database and the locks, as beside any daemon."""
    with daemon(home, PREVIOUS):
        done = pipeline(command)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("version", ["0.1.0", "0.1.99", "", "next", None])
def test_a_daemon_that_is_too_old_or_has_no_version(version: str | None, home: Home) -> None:
    """A daemon without a version is older than any that has one."""
    answer = {"pipelines": ["shop"]} if version is None else {**PREVIOUS, "version": version}
    with daemon(home, answer), pytest.raises(SystemFault, match=f"is of version {version or 'unknown'} and"):
        Daemon.find(home)


@pytest.mark.parametrize("version", ["0.2.0", "0.2.0.dev1", "0.10.0", "1.0"])
def test_a_daemon_of_this_version_or_a_newer_one_is_used(version: str, home: Home) -> None:
    """Its pipelines are found, and others are not."""
    with daemon(home, {**PREVIOUS, "version": version, "files": {}}):
        found = Daemon.find(home)
        assert found is not None
        assert found.client("shop") is not None
        assert found.client("blog") is None
    assert Daemon.find(home) is None
