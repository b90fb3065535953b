"""Functions behind a load balancer: requests become events, and results become responses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.balancer.alternate import Alternate, with_alternates
from pipeline.balancer.functions import runtime
from pipeline.balancer.haproxy.functions.event import LIMIT
from pipeline.balancer.haproxy.functions.process import adapter
from pipeline.balancer.model import Target, TargetState
from pipeline.base.errors import BalancerFault
from tests.support.ports import free_port
from tests.support.version_1_registry import version_1
from tests.support.waiting import DEADLINE, listens, until
from tests.system.alb import OWNER, Alb

_FUNCTION = """\
import json
import os
import time


def handler(event, context):
    path = event["path"]
    if path == "/fails":
        raise ValueError("as asked")
    if path == "/waits":
        open("begun", "w").close()
        while not os.path.exists("released"):
            time.sleep(0.01)
    if path == "/nothing":
        return None
    if path == "/large":
        return {"statusCode": 200, "body": "x" * 2**20}
    if path == "/cookies":
        return {"statusCode": 200, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}}
    if path == "/bytes":
        return {"statusCode": 200, "body": "/w==", "isBase64Encoded": True, "headers": {"Content-Type": "image/png"}}
    return {"statusCode": 201, "headers": {"Content-Type": "application/json"}, "body": json.dumps(event)}
"""


@pytest.fixture
def function(tmp_path: Path) -> Iterator[Target]:
    """Start a Python function in a separate runtime."""
    (tmp_path / "app.py").write_text(_FUNCTION)
    port, log = free_port(), tmp_path / "function.log"
    command = [sys.executable, str(runtime.__file__), "app.handler", str(port)]
    with log.open("wb") as errors, subprocess.Popen(command, cwd=tmp_path, stderr=errors) as process:
        until(lambda: process.poll() is not None or listens(port), "the function listens")
        assert process.poll() is None, log.read_text()
        yield Target(id="fn-1", address="127.0.0.1", port=port)
        process.kill()


def _declared(
    alb: Alb, function: Target, *, multiple: bool = False, zones: Mapping[str, str] | None = None, **check: str
) -> None:
    health = {"interval": "100ms", "timeout": "80ms", "unhealthy_threshold": 5, **check}
    attributes = {"lambda.multi_value_headers.enabled": multiple}
    group = {"target_type": "lambda", "health_check": health, "attributes": attributes}
    alb.declare({"default_action": {"forward": "web"}}, groups={"web": group}, zones=zones)
    alb.balancer.register(OWNER, "web", function)
    try:
        alb.balancer.wait_healthy(OWNER, "web", timedelta(seconds=10))
    except BalancerFault as fault:
        raise AssertionError(f"{fault}\n{(alb.balancer.directory / 'functions.log').read_text()}") from fault


def test_a_share_moves_requests_between_functions(alb: Alb, function: Target) -> None:
    """Functions of two releases are divided by a share, without a reload."""
    _declared(alb, function)
    declared = alb.balancer.registry().declaration(OWNER)
    assert declared is not None
    alb.balancer.apply(OWNER, with_alternates(declared, {"web": Alternate(0)}))
    worker = alb.worker()
    alb.balancer.register(OWNER, "web-next", function.model_copy(update={"id": "fn-2"}))
    alb.balancer.wait_healthy(OWNER, "web-next", timedelta(seconds=DEADLINE))
    for share, group in ((0, "web"), (100, "web-next")):
        alb.balancer.apply(OWNER, with_alternates(declared, {"web": Alternate(share)}))
        assert alb.ask().seen["requestContext"]["elb"]["targetGroupArn"] == f"shop.{group}"
    assert alb.worker() == worker


def _adapter(alb: Alb) -> int:
    """Return the adapter's process."""
    return int((alb.balancer.directory / "functions.pid").read_text().split()[0])


@pytest.mark.parametrize("check", [{}, {"path": "/healthz"}])
def test_a_function_behind_several_nodes(alb: Alb, function: Target, check: dict[str, str]) -> None:
    """With zones, a function is checked and invoked as without, from each node."""
    zones = {"zone-a": "127.0.0.2", "zone-b": "127.0.0.3"}
    _declared(alb, function, zones=zones, **({"matcher": "201", **check} if check else {}))
    for node in zones.values():
        assert alb.ask("/a", address=node).status == 201


def test_a_function_answers(alb: Alb, function: Target) -> None:
    """A function gets ELB's event with the balancer's headers, without internal ones."""
    _declared(alb, function)
    answer = alb.ask(
        "/a/b?x=1&y=%20", "POST", ("Content-Type", "text/plain"), ("X-Penstock-Target", "x"), body=b"hello"
    )
    event = json.loads(answer.body)
    assert (answer.status, answer.header("Content-Type")) == (201, "application/json")
    assert (event["httpMethod"], event["path"], event["body"]) == ("POST", "/a/b", "hello")
    assert event["queryStringParameters"] == {"x": "1", "y": "%20"}
    assert event["requestContext"] == {"elb": {"targetGroupArn": "shop.web"}}
    assert event["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert event["headers"]["x-amzn-trace-id"].startswith("Root=1-")
    assert [name for name in event["headers"] if name.startswith("x-penstock")] == []


def test_many_values(alb: Alb, function: Target) -> None:
    """Repeated headers pass both ways with lambda.multi_value_headers.enabled."""
    _declared(alb, function, multiple=True)
    event = json.loads(alb.ask("/?x=1&x=2", "GET", ("X-A", "1"), ("X-A", "2")).body)
    assert event["multiValueHeaders"]["x-a"] == ["1", "2"]
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"]}
    assert alb.ask("/cookies").all("Set-Cookie") == ["a=1", "b=2"]


def test_bytes(alb: Alb, function: Target) -> None:
    """A result in base64 is sent as bytes."""
    _declared(alb, function)
    answer = alb.ask("/bytes")
    assert (answer.body, answer.header("Content-Type")) == (b"\xff", "image/png")


@pytest.mark.parametrize("path", ["/fails", "/nothing", "/large"])
def test_a_function_that_does_not_answer(alb: Alb, function: Target, path: str) -> None:
    """An error, an invalid result or more than 1 MiB gives 502."""
    _declared(alb, function)
    assert alb.ask(path).status == 502


def test_too_large_a_request(alb: Alb, function: Target) -> None:
    """A body of more than 1 MiB gives 413."""
    _declared(alb, function)
    assert alb.ask("/", "POST", body=b"x" * LIMIT).status in (413, 502)
    assert alb.ask("/", "POST", body=b"x" * (LIMIT + 1)).status == 413


def test_its_health_check(alb: Alb, function: Target) -> None:
    """A check with a path invokes the function, and a mismatch is reported."""
    _declared(alb, function, matcher="201", path="/up")
    alb.balancer.deregister(OWNER, "web", "fn-1")
    alb.balancer.remove_target(OWNER, "web", "fn-1")
    group = {"target_type": "lambda", "health_check": {"interval": "100ms", "timeout": "80ms", "path": "/fails"}}
    alb.declare({"default_action": {"forward": "web"}}, groups={"web": group})
    alb.balancer.register(OWNER, "web", function)
    failed = lambda: [h for h in alb.balancer.target_health(OWNER, "web") if "502" in h.description]  # noqa: E731
    found = until(failed, "the failed check is told")
    assert found[0].state is TargetState.INITIAL


def test_no_process_on_the_path_of_requests_has_secrets(
    alb: Alb, function: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HAProxy and the adapter outlive the command that starts them, and inherit only what they need."""
    monkeypatch.setenv("DATABASE_PASSWORD", "xyzzy")
    _declared(alb, function)
    for pid in (alb.balancer.pid(), alb.worker(), _adapter(alb)):
        assert b"xyzzy" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_the_adapter_comes_back(alb: Alb, function: Target) -> None:
    """A killed adapter is restarted, and stops with the last group of functions."""
    _declared(alb, function)
    pid = _adapter(alb)
    os.kill(pid, signal.SIGKILL)
    until(lambda: adapter(alb.balancer.directory).running() is None, "nothing takes requests")
    alb.balancer.reconcile(OWNER, "web")
    assert alb.ask("/").status == 201
    started = _adapter(alb)
    alb.declare({"default_action": {"forward": "other"}}, groups={"other": {}})
    until(lambda: not Path(f"/proc/{started}/cwd").exists(), "it has ended")


def test_a_stopped_adapter_is_continued(alb: Alb, function: Target) -> None:
    """A signal that stops the adapter is seen, and requests are answered after `resume`."""
    _declared(alb, function)
    pid = _adapter(alb)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: alb.balancer.stopped() == (pid,), "the adapter is stopped")
    assert alb.balancer.resume() == (pid,)
    assert alb.ask("/").status == 201


@pytest.mark.parametrize("known", ["{pid} of-before", "{pid}", "1 of-before", None])
def test_an_adapter_of_before_an_upgrade_is_replaced(
    alb: Alb, function: Target, tmp_path: Path, known: str | None
) -> None:
    """An adapter with other code is replaced and finishes its requests."""
    _declared(alb, function)
    previous, file = _adapter(alb), alb.balancer.directory / "functions.pid"
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(alb.ask("/waits").status))
    asking.start()
    until(lambda: (tmp_path / "begun").exists(), "the function was invoked")
    file.write_text(known.format(pid=previous)) if known else file.unlink()
    alb.balancer.ensure_running()
    assert _adapter(alb) != previous
    assert alb.ask("/").status == 201
    assert Path(f"/proc/{previous}/cwd").exists()
    (tmp_path / "released").touch()
    asking.join()
    assert answers == [201]
    until(lambda: not Path(f"/proc/{previous}/cwd").exists(), "the previous adapter has exited")


def test_an_adapter_that_reads_the_old_registry_is_awaited(alb: Alb, function: Target, tmp_path: Path) -> None:
    """An upgrade waits for the adapter that reads the old registry."""
    _declared(alb, function)
    previous, file = _adapter(alb), alb.balancer.directory / "functions.pid"
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(alb.ask("/waits").status))
    asking.start()
    until(lambda: (tmp_path / "begun").exists(), "the function was invoked")
    declaration = alb.balancer.registry().declaration(OWNER)
    assert declaration is not None
    registry = alb.balancer.directory / "registry.json"
    registry.write_text(version_1({OWNER: (declaration, {"web": [(function, "in_service")]})}))
    file.write_text(f"{previous} of-before")
    acting = threading.Thread(target=alb.balancer.reconcile)
    acting.start()
    until(lambda: _adapter(alb) != previous, "another adapter takes requests")
    assert alb.ask("/").status == 201
    assert "version" not in json.loads(registry.read_text())
    (tmp_path / "released").touch()
    acting.join()
    asking.join()
    assert json.loads(registry.read_text())["version"] == 2
    assert (answers, alb.ask("/").status) == ([201], 201)


def test_replacing_the_adapter_loses_nothing(alb: Alb, function: Target) -> None:
    """Repeated replacements of the adapter lose no request."""
    _declared(alb, function, interval="5s", timeout="4s")
    done, answers = threading.Event(), list[int]()

    def ask() -> None:
        while not done.is_set():
            answers.append(alb.ask("/").status)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    for _ in range(5):
        (alb.balancer.directory / "functions.pid").unlink()
        alb.balancer.ensure_running()
        before = len(answers)
        until(lambda before=before: len(answers) > before + 20, "requests go on")  # type: ignore[misc]
    done.set()
    for thread in asking:
        thread.join()
    assert set(answers) == {201}


def test_the_adapter_stays(alb: Alb, function: Target) -> None:
    """An adapter with the current code is not replaced."""
    _declared(alb, function)
    previous = _adapter(alb)
    alb.balancer.ensure_running()
    assert _adapter(alb) == previous
