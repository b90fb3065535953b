"""The notice to a replica that begins to drain never delays or stops the drain."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import cast

import pytest
from pydantic import ValidationError

from pipeline.api import StageContext
from pipeline.base.clock import SYSTEM
from pipeline.base.errors import EngineFault
from pipeline.config.on_drain import OnDrain
from pipeline.config.release import ReleaseSpec
from pipeline.engine.cluster import ClusterHost, ClusterSpec
from pipeline.engine.cluster_members import containers_in
from pipeline.engine.clusters import open_cluster
from pipeline.engine.container import ContainerSpec
from pipeline.engine.host import HostSpec
from pipeline.engine.labels import LABEL_PIPELINE
from pipeline.engine.open_cluster import OpenCluster
from pipeline.engine.runtime import Replica
from pipeline.events import Event
from pipeline.store.replica_logs import ReplicaLogs
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program
from pipeline.testing.fakes.runtime import FakeRuntime
from stages.deploy import leaving_replicas
from stages.deploy.drain_notice import DrainNotice
from stages.deploy.leaving_replicas import LeavingReplicas
from tests.support.waiting import DEADLINE

NAME = "shop.web.r1.aaaaaa"
GOODBYE = ("goodbye",)


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine(program=lambda _: Program(commands={GOODBYE: 0, ("fail",): 3}, on_sigterm=7))
    engine.networks.ensure("shop")
    engine.images.add("app")
    engine.containers.start(ContainerSpec(NAME, "app", {LABEL_PIPELINE: "shop"}, network=engine.networks.name("shop")))
    return engine


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A replica that notes the path of each POST, and has no path but /drain."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path == "/drain" else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    asked: list[str] = []
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = asked  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()


def replica(name: str = NAME, port: int = 1) -> Replica:
    """Return a running replica of the service web."""
    return Replica(name, "web", 1, "", "local", "127.0.0.1", port, True, SYSTEM.now(), timedelta(seconds=1), None, {})


def sent(engine: FakeEngine, wanted: OnDrain, name: str = NAME, port: int = 1) -> list[str]:
    """Send a notice and return the warnings."""
    warnings: list[str] = []
    DrainNotice(engine.containers, warnings.append).send(replica(name, port), wanted).join(20)
    return warnings


def test_each_way(engine: FakeEngine, server: HTTPServer) -> None:
    """A command runs in the container, a signal reaches its process, and a POST its port."""
    assert sent(engine, OnDrain(command=GOODBYE)) == []
    assert sent(engine, OnDrain(http="/drain"), port=server.server_port) == []
    assert server.asked == ["/drain"]  # type: ignore[attr-defined]
    assert sent(engine, OnDrain(signal="SIGUSR1")) == []
    assert engine.containers.inspect(NAME).exit_code == 7, "the fake program ends by it"


def test_failures_are_warnings(engine: FakeEngine, server: HTTPServer) -> None:
    """Each failure has its reason, and none is raised."""
    start = f"{NAME}: on_drain failed: "
    assert sent(engine, OnDrain(command=("fail",))) == [f"{start}its command ended with exit code 3"]
    assert sent(engine, OnDrain(command=("nothing",)))[0].startswith(f"{start}nothing cannot be started")
    assert sent(engine, OnDrain(http="/other"), port=server.server_port) == [f"{start}POST /other returned 404"]
    assert "Connection refused" in sent(engine, OnDrain(http="/drain"))[0]
    gone = "shop.web.r1.bbbbbb"
    assert sent(engine, OnDrain(command=GOODBYE), gone) == [f"{gone}: on_drain failed: its container is gone"]
    engine.kill_daemon()
    assert sent(engine, OnDrain(command=GOODBYE))[0].startswith(start)


def test_a_replica_is_told_once(engine: FakeEngine, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a rollout asks for it. The next process tells it again."""
    told: list[str] = []
    monkeypatch.setattr(DrainNotice, "send", lambda _, replica, wanted: told.append(f"{wanted.signal} {replica.name}"))
    spec = ReleaseSpec.of(context.configuration, image_id="sha256:a", image_tag="shop:a", sha="a" * 40, subject="Say")
    data = spec.model_dump(mode="json")
    data["services"]["web"] |= {"on_drain": {"signal": "SIGUSR1"}}
    stored = [SimpleNamespace(number=1, spec=ReleaseSpec.model_validate(data).model_dump_json())]
    store = SimpleNamespace(releases=SimpleNamespace(all=lambda _: stored))
    of_release = cast(
        "StageContext", SimpleNamespace(configuration=context.configuration, home=context.home, store=store)
    )
    for _ in range(2):
        leaving = LeavingReplicas(of_release, open_cluster(ClusterSpec(), context.home.id, Path(), local=engine))
        for _ in range(3):
            leaving.notify(replica())
    assert told == [f"SIGUSR1 {NAME}"] * 2


@pytest.mark.parametrize("values", [{}, {"signal": "SIGHUP", "http": "/x"}, {"signal": "SIGKILL"}, {"http": "x"}])
def test_invalid_settings(values: dict[str, str]) -> None:
    """Nothing, two ways, a signal that ends the process, and a path without a slash are refused."""
    with pytest.raises(ValidationError):
        OnDrain(**values)  # type: ignore[arg-type]


def test_the_output_of_a_replica_is_that_of_its_host(context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept before the replica is removed. A host that does not answer keeps nothing from being removed."""
    closed: list[str] = []

    class Kept:
        """The console of a host, where each replica has one line."""

        def __init__(self, name: str) -> None:
            self.name = name

        def log(self, container: str) -> SimpleNamespace:
            line = f"2026-01-02T03:04:05.000000001Z {container} on {self.name}".encode()
            return SimpleNamespace(all=lambda: iter([line]), close=lambda: None)

        def close(self) -> None:
            closed.append(self.name)

    def connect(spec: HostSpec, home: str, sockets: Path) -> Kept:
        assert (home, sockets) == (context.home.id, context.home.hosts)
        if spec.name == "app2":
            raise EngineFault("host app2: no route")
        return Kept(spec.name)

    monkeypatch.setattr(leaving_replicas, "host_console", connect)
    monkeypatch.setattr(leaving_replicas, "local_console", lambda _: Kept("local"))
    events: list[Event] = []
    context.events.subscribe(events.append)
    cluster = ClusterSpec(hosts=tuple(ClusterHost(HostSpec(name, f"ssh://{name}")) for name in ("app1", "app2")))
    leaving = LeavingReplicas(context, OpenCluster(cluster, FakeRuntime(), dict))
    for name, host in (("shop.web.r1.a", "app1"), ("shop.web.r1.b", "app2"), ("shop.web.r1.c", "local")):
        leaving.save_output(name, host)
    saved = ReplicaLogs(context.home.replica_logs("shop"))
    lines = {name: [line[31:].decode() for line in saved.read(name)] for name in saved.names()}
    assert lines == {"shop.web.r1.a": ["shop.web.r1.a on app1"], "shop.web.r1.c": ["shop.web.r1.c on local"]}
    assert closed == ["app1"]
    assert [event.message for event in events] == ["the output of shop.web.r1.b is not kept: host app2: no route"]


def test_notices_reach_replicas_on_hosts(engine: FakeEngine) -> None:
    """By the connections of the rollout. One on a host that does not answer gets none, and that is told."""
    cluster = ClusterSpec(hosts=tuple(ClusterHost(HostSpec(name, f"ssh://{name}")) for name in ("app1", "app2")))
    answering = {"app1": FakeEngine(), "app2": engine}
    containers = containers_in(
        OpenCluster(cluster, FakeRuntime(), lambda: answering), silence=timedelta(seconds=DEADLINE)
    )
    warnings: list[str] = []
    notice = DrainNotice(containers, warnings.append)
    notice.send(replica(), OnDrain(command=GOODBYE)).join(DEADLINE)
    assert warnings == []
    assert engine.faults.calls["containers.exec"] == 1
    del answering["app2"]
    notice.send(replica(), OnDrain(command=GOODBYE)).join(DEADLINE)
    assert warnings == [f"{NAME}: on_drain failed: host app2 does not answer"]
