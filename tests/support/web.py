"""The web interface of a daemon in this process, and a browser without JavaScript that is logged in.

    with web_server(tmp_path) as server:
        browser = server.browser()                         # with the role operate
        page = browser.get("/")
        assert page.part("pipelines").startswith("<div")
        browser.post("/pipelines/shop/runs/1/cancel")      # with the token of the session's forms

No daemon runs: queues have no workers, and `server.store` is what a test fills.
"""

from __future__ import annotations

import gzip
import http.client
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode

from pipeline.balancer.balancer_reader import BalancerReader
from pipeline.base.clock import SYSTEM, Clock
from pipeline.base.home import Home
from pipeline.base.signal import Signal
from pipeline.daemon.container_exits import ContainerExits
from pipeline.daemon.control import Control
from pipeline.daemon.scheduler import Scheduler
from pipeline.daemon.served_file import ServedFile
from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.http.live_balancer import LiveBalancer
from pipeline.http.serving import http_server, public_socket
from pipeline.stacks.stacks import Stacks
from pipeline.store.store import Store
from pipeline.store.web_sessions import Role
from pipeline.web.app import WebApp
from pipeline.web.catalogue import Catalogue
from pipeline.web.reports import WebReports
from pipeline.web.server import web_config
from pipeline.web.sessions import new_login
from pipeline.web.settings import WebSettings
from tests.support.reports import reports_of
from tests.support.repository import Work
from tests.support.shop_pipeline import PIPELINE
from tests.support.waiting import DEADLINE


@dataclass(frozen=True)
class WebAnswer:
    """A response. `text` is its body, decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        content = gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body
        return content.decode()

    def part(self, name: str) -> str:
        """Return the HTML from the begin of a part. Fail if it is missing, or there twice."""
        found = re.findall(rf'<[a-z]+ [^>]*\bid="{re.escape(name)}"[^>]*>', self.text)
        assert len(found) == 1, f"{len(found)} elements with the id {name}"
        return self.text[self.text.index(found[0]) :]


@dataclass
class Browser:
    """Sends requests with the cookies that it was given, and follows no redirect."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> WebAnswer:
        """Load a page."""
        return self.send("GET", path, **headers)

    def post(self, path: str, fields: Mapping[str, str] | None = None, **headers: str) -> WebAnswer:
        """Send a form, with the token of this browser's session unless `fields` has one."""
        token = re.search(r'<meta name="csrf" content="([^"]*)">', self.get("/").text)
        form = {"csrf": token[1] if token else "", **(fields or {})}
        form_type = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.send("POST", path, urlencode(form).encode(), **{**form_type, **headers})

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> WebAnswer:
        """Send any request. An underscore in the name of a header is a hyphen."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            given.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)) as connection:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            content = answer.read()
        for line in answer.headers.get_all("set-cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return WebAnswer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    @contextmanager
    def follow(self, path: str) -> Iterator[Iterator[str]]:
        """Open a stream. Yields its events, each with the lines that its `data` has. Comments are left out."""
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)) as connection:
            connection.request("GET", path, headers=cookies)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            yield _events(answer)

    def live(self, path: str) -> str:
        """Return the path of the stream that the page at `path` opens."""
        found = re.search(r'hx-sse:connect="([^"]*)"', self.get(path).text)
        assert found, f"{path} has no stream"
        return found[1].replace("&amp;", "&")


def _events(answer: http.client.HTTPResponse) -> Iterator[str]:
    lines = list[str]()
    while line := answer.readline():
        text = line.decode().rstrip("\n")
        if text.startswith("data: "):
            lines.append(text.removeprefix("data: "))
        elif not text and lines:
            yield "\n".join(lines)
            lines = []


@dataclass
class WebServer:
    """A served web interface. `changed` is what the daemon sends for a replica or a target.

    `exits` are those that the engine has reported.
    """

    home: Home
    store: Store
    control: Control
    reports: WebReports
    port: int
    changed: Signal
    exits: ContainerExits

    def browser(self, role: Role = Role.OPERATE, name: str = "ann") -> Browser:
        """Return a browser that is logged in."""
        browser = Browser(self.port)
        link = new_login(self.store, name, role, self.reports.clock.now().wall)
        answer = browser.post("/login", {"link": link})
        assert answer.status == 303, answer.text
        return browser


@contextmanager
def web_server(
    folder: Path,
    *,
    pipelines: Mapping[str, str] | None = None,
    settings: WebSettings | None = None,
    clock: Clock = SYSTEM,
    catalogue: Catalogue | None = None,
    prepare: Callable[[Home, Store], None] = lambda _, __: None,
    address: str = "127.0.0.1:0",
    balancer: BalancerReader | None = None,
    stacks: Callable[[], Stacks] | None = None,
) -> Iterator[WebServer]:
    """Serve the pipelines, each the text of a pipeline.yaml by its name, from repositories in `folder`.

    `prepare` fills the home and its store before anything is served. `balancer` is by default that of the home. Without
    `stacks`, the daemon has none.
    """
    home = Home.locate({"PENSTOCK_HOME": str(folder / "home")})
    with Store(home.database) as store:
        prepare(home, store)
        supervisors = dict(_supervisors(folder, home, store, pipelines or {"shop": PIPELINE}, clock))
        changed, control, exits = Signal(), Control(supervisors, store), ContainerExits(clock)
        found = reports_of(home, control, clock, exits.all, stacks=stacks)
        if balancer:
            found = replace(found, balancer=LiveBalancer(balancer, store.clusters.all, exits.all, clock))
        reports = WebReports(found, clock)
        used = settings or WebSettings()
        listener = public_socket(address)
        app = WebApp(reports, used, address, [changed.subscribe], catalogue).app()
        with http_server(lambda: web_config(app, used), listener):
            yield WebServer(home, store, control, reports, listener.getsockname()[1], changed, exits)


def _supervisors(
    folder: Path, home: Home, store: Store, pipelines: Mapping[str, str], clock: Clock
) -> Iterator[tuple[str, PipelineSupervisor]]:
    for name, text in pipelines.items():
        place = folder / name
        place.mkdir()
        file = Work(place).path / "pipeline.yaml"
        file.write_text(text)
        yield name, PipelineSupervisor(ServedFile(file, home, store, ()), clock, Scheduler(clock))
