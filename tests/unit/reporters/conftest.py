"""A server on loopback in a forge's place, and a run to tell of."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.masking import Mask
from pipeline.config.load import Configuration
from pipeline.config.models import Pipeline
from pipeline.config.secrets import Secrets
from pipeline.events import Event
from pipeline.reporters import Report
from pipeline.store.records import RunKind, RunState
from pipeline.store.store import Store
from tests.begun import begin_run

SHA = "1a2b3c4" + "0" * 33
TOKEN = "to:ken/with=odd&characters"


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(Asked(self.command, self.path, dict(self.headers), body))
        status, headers, answer = self.server.answers.pop(0) if self.server.answers else (201, {}, b"{}")
        self.server.released.wait(30)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None: ...


class Recorder(ThreadingHTTPServer):
    """Keeps every request, and answers as it is told to: 201 where it is told nothing. Not before it is `released`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[Asked] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.released = threading.Event()
        self.released.set()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *args: object) -> None: ...


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on loopback is reached directly, whatever the environment says."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def forge() -> Iterator[Recorder]:
    server = Recorder()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "penstock.db") as store:
        yield store


@pytest.fixture
def report(store: Store) -> Callable[..., Report]:
    """A message of a run that stands as its event says."""

    def report(state: RunState, kind: RunKind = RunKind.RUN, reason: str = "") -> Report:
        run = begin_run(store, "shop", kind)
        store.set_revision("shop", run.number, sha=SHA, ref="main", author="Ada", subject="Add <carts> & more")
        words = {RunState.QUEUED: "queued", RunState.RUNNING: "started", RunState.SUPERSEDED: "superseded"}
        if state.over:
            store.finish_run("shop", run.number, state, reason)
        found = store.run("shop", run.number)
        assert found is not None
        fields = {"state": state, "reason": reason}
        message = f"run {run.number}: {state.replace('_', ' ')}"
        return Report(Event(f"run.{words.get(state, 'finished')}", message, "shop", run.number, fields), found)

    return report


def reveal(text: str) -> str:
    """Every secret is the token."""
    return text.replace("${secret:TOKEN}", TOKEN)


def configured(reporters: dict[str, Any], path: Path, **secrets: str) -> Configuration:
    """A pipeline with these reporters."""
    pipeline = Pipeline.model_validate(
        {
            "name": "shop",
            "deploy": {"target_group": "web"},
            "reporters": reporters,
            "balancer": {
                "target_groups": {"web": {"port": 80}},
                "load_balancers": {"edge": {"listeners": [{"port": 8000, "default_action": {"forward": "web"}}]}},
            },
        }
    )
    return Configuration(pipeline, path, {}, Secrets({"TOKEN": TOKEN, **secrets}))


def masked(text: str) -> str:
    """As `Events` clean what is told."""
    return Mask([TOKEN])(text)


def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come to it"
        time.sleep(0.005)
