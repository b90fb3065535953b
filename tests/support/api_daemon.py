"""A control API on its socket, with one pipeline in a repository, whose queue has no worker."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.base.home import Home
from pipeline.base.sockets import private_socket
from pipeline.daemon.control import Control
from pipeline.daemon.scheduler import Scheduler
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.http.api import ControlApi
from pipeline.http.client import Client
from pipeline.http.serving import control_config, http_server
from pipeline.runner.context import PipelineContext
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.reports import reports_of
from tests.support.repository import Work
from tests.support.shop_pipeline import PIPELINE
from tests.support.stored_release import add_release


@dataclass(frozen=True)
class ApiDaemon:
    """A daemon that serves one pipeline."""

    home: Home
    store: Store
    client: Client
    work: Work
    control: Control

    @property
    def file(self) -> Path:
        """The pipeline.yaml."""
        return self.work.path / "pipeline.yaml"

    @property
    def context(self) -> PipelineContext:
        """What the daemon works with."""
        return self.control.supervisor("shop").served_file.pipeline_context

    def get(self, path: str, **query: object) -> Any:
        """Return the response to a GET below the pipeline."""
        text = "&".join(f"{key}={quote(str(value))}" for key, value in query.items())
        return self.client.ask("GET", f"/v1/pipelines/shop/{path}{f'?{text}' if text else ''}")

    def text(self, path: str) -> str:
        """Return the text of a response to a GET below the pipeline."""
        with closing(HTTPConnection("penstock")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self.home.daemon_socket))
            connection.request("GET", f"/v1/pipelines/shop/{path}")
            return connection.getresponse().read().decode()

    def post(self, path: str, **body: object) -> Any:
        """Return the response to a POST below the pipeline."""
        return self.client.ask("POST", f"/v1/pipelines/shop/{path}", body)

    def release(self, sha: str, text: str = PIPELINE, subject: str = "One", image: str = "a", **done: Any) -> int:
        """Make a release of a pipeline.yaml the active one, without any replica. Return its number.

        `done` are arguments of `Deployments.finish`.
        """
        return add_release(self.store, self.work.path, text, sha, subject, image, **done)

    def events(self, prefix: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the stored events of some kinds, with their fields."""
        found = self.store.events.latest("shop")
        return [(each.kind, json.loads(json.dumps(each.fields))) for each in found if each.kind.startswith(prefix)]


@contextmanager
def api_daemon(root: Path, text: str = PIPELINE) -> Iterator[ApiDaemon]:
    """Yield a daemon that serves a pipeline.yaml in a repository of one commit."""
    work = Work(root)
    file = work.path / "pipeline.yaml"
    file.write_text(text)
    home = Home.locate({"PENSTOCK_HOME": str(root / "home")})
    with Store(home.database) as store:
        clock = FakeClock()
        supervisor = PipelineSupervisor(ServedFile(file, home, store, ()), clock, Scheduler(clock))
        control = Control({"shop": supervisor}, store)
        app = ControlApi(reports_of(home, control)).app()
        with http_server(lambda: control_config(app), private_socket(home.daemon_socket)):
            yield ApiDaemon(home, store, Client(home.daemon_socket), work, control)
