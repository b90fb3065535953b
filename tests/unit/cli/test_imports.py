"""The libraries that a command loads, which are most of its start time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from pipeline import __version__
from pipeline.base.home import Home
from pipeline.base.lock import work_lock
from pipeline.base.sockets import private_socket
from pipeline.http.serving import control_config, http_server
from pipeline.http.status_text import StatusText
from tests.support.pipeline_yaml import MINIMAL

SLOW = (
    "asyncio",
    "botocore",
    "click",
    "docker",
    "git",
    "http",
    "pydantic",
    "requests",
    "rich",
    "ruamel",
    "sqlite3",
    "starlette",
    "structlog",
)
COMMAND = """\
import atexit, sys
from pipeline.cli.main import main
sys.argv = ["pipeline", *sys.argv[1:]]
atexit.register(lambda: print(*(name for name in sys.modules if "." not in name), file=sys.stderr))
main()
"""
BUILT_MODELS = """\
import atexit, sys
from pipeline.base.schema import Model
from pipeline.cli.main import main
def models(of):
    return {of, *(found for one in of.__subclasses__() for found in models(one))}
sys.argv = ["pipeline", *sys.argv[1:]]
atexit.register(lambda: print(*(m.__name__ for m in models(Model) if m.__pydantic_complete__), file=sys.stderr))
main()
"""
FINISHED = {
    "kind": "run.finished", "message": "run 1: succeeded", "pipeline": "shop", "run": 1, "id": 1,
    "fields": {"state": "succeeded"}, "at": "2026-01-01T00:00:00+00:00",
}  # fmt: skip


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A daemon that manages ./pipeline.yaml, and whose runs succeed at once. It keeps the bodies of requests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    Path("pipeline.yaml").write_text(MINIMAL)
    home, bodies = Home.locate(), list[bytes]()

    async def submit(request: Request) -> JSONResponse:
        bodies.append(await request.body())
        return JSONResponse({"number": 1})

    report = {
        "text": StatusText(
            False, [("shop: managed",)], [("shop.web.r1", "healthy", "0", "172.18.0.2:8080", "")]
        ).to_json(),
        "data": {"a": 1},
    }
    about = {"version": __version__, "pipelines": ["shop"], "files": {"shop": str(tmp_path / "pipeline.yaml")}}
    run = "/v1/pipelines/shop/runs"
    app = Starlette(
        routes=[
            Route("/v1", lambda _: JSONResponse(about)),
            Route("/v1/pipelines/shop/status", lambda _: JSONResponse(report)),
            Route(run, submit, methods=["POST"]),
            Route(f"{run}/1", lambda _: JSONResponse({"state": "succeeded"})),
            Route(f"{run}/1/events", lambda _: PlainTextResponse(f"data: {json.dumps(FINISHED)}\n\n")),
        ]
    )
    with (
        work_lock(home.daemon_lock, "pipeline serve"),
        http_server(lambda: control_config(app), private_socket(home.daemon_socket)),
    ):
        yield bodies


def run(*arguments: str) -> tuple[str, set[str]]:
    """Run a command, and return its output and the slow libraries that it has loaded."""
    shown, found = _run(COMMAND, *arguments)
    return shown, found.intersection(SLOW)


def _run(script: str, *arguments: str) -> tuple[str, set[str]]:
    # A measurement of coverage would load libraries of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout, set(done.stderr.splitlines()[-1].split())


def test_help_loads_no_library() -> None:
    """The help of all commands loads none, and that of one command only click."""
    assert run("--help")[1] == set()
    assert run("run", "--help")[1] == {"click"}


def test_access_keys_load_only_click(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands for access keys load neither models nor botocore."""
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    assert run("aws", "keys", "create")[1] == {"click"}
    assert run("aws", "keys", "list")[1] == {"click"}


@pytest.mark.parametrize(
    ("command", "output", "libraries"),
    [
        (["status"], "172.18.0.2:8080\n", {"click"}),
        (["status", "--json"], '{"a": 1}\n', {"click"}),
        (["run"], "run 1: succeeded\n", {"click", "http"}),
        (["rollback"], "run 1: succeeded\n", {"click", "http"}),
        (["down"], "run 1: succeeded\n", {"click", "http"}),
    ],
)
def test_a_command_leaves_its_work_to_the_daemon(
    daemon: list[bytes], command: list[str], output: str, libraries: set[str]
) -> None:
    """It loads click, and `http.client` to follow a run."""
    shown, loaded = run(*command)
    assert shown.endswith(output)
    assert loaded == libraries
    assert all(json.loads(body)["strict"] for body in daemon)


@pytest.mark.parametrize("command", ["validate", "status", "now"])
def test_a_command_builds_only_the_models_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Models of sections and of kinds of load balancers that the file does not have are not built."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "home"))
    Path("pipeline.yaml").write_text(MINIMAL)
    _, built = _run(BUILT_MODELS, command)
    assert ("Pipeline" in built) == (command != "now")
    unused = {"NetworkLoadBalancer", "GatewayLoadBalancer", "GatewayEndpoint", "GatewayTargetGroup", "NetworkListener"}
    unused |= {"Hook", "ScalingPolicy", "Accessory", "Tests", "RuleResource", "Policy", "RunResponse"}
    assert not unused & built


def test_a_daemon_without_clients_loads_no_http_server() -> None:
    """What the daemon needs before its first client does not import the server, which takes 4 MB."""
    modules = "pipeline.cli.serve, pipeline.cli.aws_endpoint, pipeline.network.zones, pipeline.daemon.daemon"
    script = f"import sys, pipeline.http.serving, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    unused = {"uvicorn", "starlette", "botocore", "pipeline.http.api", "xml.etree", "http.server"}
    assert not unused.intersection(done.stdout.split())


def test_a_run_without_a_daemon_loads_nothing_of_the_daemon() -> None:
    """The runner and the shipped stages load no HTTP server, log, live view, reporter or parser of reports."""
    modules = "pipeline.runner.local, pipeline.engine.docker.client, stages.source, stages.build, stages.deploy"
    script = f"import sys; import {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    unused = {"asyncio", "structlog", "rich", "http.server", "pipeline.reporters", "xml.etree.ElementTree"}
    assert not unused.intersection(done.stdout.split())
