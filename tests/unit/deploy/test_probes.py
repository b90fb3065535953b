"""Commands and queries in `rollback_on`: their results, their limits of time, and the reason where there is none."""

from __future__ import annotations

import gc
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from pipeline.alarms.condition import CommandCondition, Condition, CountCondition, PromqlCondition
from pipeline.alarms.probe_alarm import Measurement
from pipeline.testing.fakes.clock import FakeClock
from stages.deploy.probes import Probes, query, run_check
from tests.support.ports import free_port
from tests.support.waiting import until

NEVER = threading.Event()


def command(*words: str, timeout: str = "10s", interval: str = "10s") -> CommandCondition:
    return CommandCondition.model_validate({"command": words, "timeout": timeout, "interval": interval})


def promql(server: str, timeout: str = "10s") -> PromqlCondition:
    return PromqlCondition.model_validate({"promql": "up{a='b'}", "server": server, "above": 1, "timeout": timeout})


def check(condition: CommandCondition, folder: Path) -> Measurement:
    return run_check(condition, folder, {"PATH": os.environ["PATH"], "PENSTOCK_RELEASE": "5"}, NEVER)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("true",), Measurement(0.0)),
        (("sh", "-c", "exit 3"), Measurement(3.0)),
        (("sh", "-c", "exit $PENSTOCK_RELEASE"), Measurement(5.0)),
        (("sh", "-c", "kill -9 $$"), Measurement(-9.0)),
        (("/no/such/program",), Measurement(error="it cannot be run: No such file or directory")),
    ],
)
def test_command(words: tuple[str, ...], expected: Measurement, tmp_path: Path) -> None:
    """A command gives its exit code, or the reason why it has none."""
    assert check(command(*words), tmp_path) == expected


def test_directory_of_a_command(tmp_path: Path) -> None:
    """A relative path is that of a program beside pipeline.yaml."""
    program = tmp_path / "check.sh"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    assert check(command("./check.sh"), tmp_path) == Measurement(7.0)


def test_a_command_that_hangs(tmp_path: Path) -> None:
    """A command is killed after its timeout, with what it started."""
    hanging = command("sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/child; wait", timeout="1s")
    assert check(hanging, tmp_path) == Measurement(error="it did not exit within 1 s")
    child = int((tmp_path / "child").read_text())
    until(lambda: not is_running(child), "the child is gone")


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@contextmanager
def prometheus(answer: Callable[[str], tuple[int, bytes]]) -> Iterator[str]:
    """Run a server that answers queries. Yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            status, content = answer(f"{self.path} {asked['query'][0]}")
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Run a server. Yields its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def success(kind: str, result: object) -> tuple[int, bytes]:
    return 200, json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (success("scalar", [1.5, "0.25"]), Measurement(0.25)),
        (success("vector", [{"metric": {}, "value": [1.5, "3"]}]), Measurement(3.0)),
        (
            success("vector", []),
            Measurement(error="the result has no element, and one is needed; aggregate it, such as by sum()"),
        ),
        (
            success("vector", [{"value": [1, "3"]}, {"value": [1, "4"]}]),
            Measurement(error="the result has 2 elements, and one is needed; aggregate it, such as by sum()"),
        ),
        (
            success("matrix", []),
            Measurement(error="the result is a matrix; write an expression with a scalar or a vector"),
        ),
        (success("scalar", ["x"]), Measurement(error="the response is not one of Prometheus")),
        (success("scalar", [1, "x"]), Measurement(error="the response is not one of Prometheus")),
        (
            (400, json.dumps({"status": "error", "error": "parse error at char 3"}).encode()),
            Measurement(error="Prometheus rejects it: parse error at char 3"),
        ),
        ((404, b"<html>"), Measurement(error="the response with status 404 is not one of Prometheus")),
        ((200, b"[]"), Measurement(error="the response with status 200 is not one of Prometheus")),
        ((200, b"x" * (2**20 + 1)), Measurement(error="the response is longer than 1 MiB")),
    ],
)
def test_query(answer: tuple[int, bytes], expected: Measurement) -> None:
    """A query gives one number, or the reason why it has none."""
    with prometheus(lambda _: answer) as server:
        assert query(promql(server)) == expected


def test_what_is_asked() -> None:
    """The expression arrives as it is written, at the path of Prometheus."""
    asked = list[str]()
    with prometheus(lambda text: asked.append(text) or success("scalar", [1, "1"])) as server:
        query(promql(f"{server}/prefix/"))
    assert asked == ["/prefix/api/v1/query up{a='b'}"]


def test_a_query_is_sent_to_its_server_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the password of the URL and no other, and not to where a redirect leads."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((self.path, self.headers["Authorization"]))
            self.send_response(307)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as port:
        for server in (f"127.0.0.1:{port}", f"ann:p%40ss@127.0.0.1:{port}"):
            reason = "the response with status 307 is not one of Prometheus"
            assert query(promql(f"http://{server}")) == Measurement(error=reason)
    assert seen == [("/api/v1/query", None), ("/api/v1/query", "Basic YW5uOnBAc3M=")]


def test_not_a_number() -> None:
    """Prometheus may have no number as a result, which is no measurement."""
    with prometheus(lambda _: success("scalar", [1, "NaN"])) as server:
        found = query(promql(server))
    assert found.value is not None
    assert found.value != found.value


def test_a_server_that_is_not_there() -> None:
    """The reason names the server without its password."""
    port = free_port()
    assert query(promql(f"http://user:geheim@127.0.0.1:{port}")) == Measurement(
        error=f"http://127.0.0.1:{port} cannot be reached: Connection refused"
    )


def test_a_server_that_hangs() -> None:
    """A query ends with its timeout."""
    released = threading.Event()
    with prometheus(lambda _: (200, b"{}") if released.wait(60) else (500, b"")) as server:
        found = query(promql(server, timeout="1s"))
        released.set()
    assert found == Measurement(error=f"{server} did not respond within 1 s")


def probes(clock: FakeClock, folder: Path, *conditions: Condition) -> Probes:
    return Probes(conditions, clock, folder, {"PENSTOCK_RELEASE": "5"})


def taken(found: Probes) -> dict[int, Measurement]:
    """Return the next measurements that finish."""
    result = dict[int, Measurement]()
    until(lambda: result.update(found.take()) or result, "a measurement has finished")
    return result


def test_intervals(tmp_path: Path) -> None:
    """Each condition is measured at once and then at its interval, by its place in the list."""
    clock = FakeClock()
    counted = command("sh", "-c", "echo x >> count")
    found = probes(clock, tmp_path, CountCondition(metric="restarts", above=0), counted)
    assert taken(found) == {1: Measurement(0.0)}
    clock.advance(timedelta(seconds=9.9))
    assert found.take() == {}
    assert (tmp_path / "count").read_text() == "x\n"
    clock.advance(timedelta(seconds=0.1))
    assert taken(found) == {1: Measurement(0.0)}
    assert (tmp_path / "count").read_text() == "x\nx\n"


def test_a_slow_measurement_does_not_block(tmp_path: Path) -> None:
    """While a command runs, others are taken, and it is not started a second time."""
    clock = FakeClock()
    (tmp_path / "go").unlink(missing_ok=True)
    slow = command("sh", "-c", "echo x >> count; while [ ! -e go ]; do sleep 0.01; done", timeout="60s", interval="1s")
    found = probes(clock, tmp_path, slow, command("true", interval="1s"))
    for _ in range(3):
        assert taken(found) == {1: Measurement(0.0)}
        clock.advance(timedelta(seconds=1))
    (tmp_path / "go").touch()
    result = dict[int, Measurement]()
    until(lambda: result.update(found.take()) or 0 in result, "the slow one has finished")
    assert (tmp_path / "count").read_text().startswith("x\n")


def test_programs_end_with_their_deployment(tmp_path: Path) -> None:
    """A program that still runs when its deployment has ended is killed."""
    found = probes(FakeClock(), tmp_path, command("sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 1000", timeout="1h"))
    found.take()
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), "the program runs")
    pid = int((tmp_path / "pid").read_text())
    assert is_running(pid)
    del found
    gc.collect()
    until(lambda: not is_running(pid), "the program is gone")
