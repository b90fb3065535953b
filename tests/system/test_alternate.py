"""Shares of an alternate group: exact, at once, without a reload, with sticky clients and test traffic."""

from __future__ import annotations

import http.client
import re
import subprocess
import threading
import time
from contextlib import closing
from math import sqrt
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
import trustme

from pipeline.balancer.alternate import Alternate, shares, with_alternates
from pipeline.balancer.haproxy import process
from pipeline.balancer.haproxy.plane import HAProxyPlane
from pipeline.balancer.model import TargetState
from pipeline.balancer.model import alternate_group as model
from pipeline.balancer.planes import open_balancer
from tests.support.ports import free_port
from tests.support.waiting import COMMAND_TIMEOUT, DEADLINE, until
from tests.system.alb import OWNER, Alb
from tests.system.pki import Pki
from tests.system.servers import Grpc
from tests.system.split_site import ALTERNATE, CALM, HOME, SplitSite, name_of

REQUESTS = 20_000
FORWARD = {"default_action": {"forward": HOME}}
HEADER = ("X-Release", "next")
BY_HEADER = model.TestTraffic(header=model.HeaderMatch(name="x-release", value="next"))
LB = {"stickiness.enabled": True, "stickiness.lb_cookie.duration_seconds": 600}


@pytest.fixture
def site(alb: Alb) -> SplitSite:
    """A site with nothing declared yet."""
    return SplitSite(alb)


def started(site: SplitSite, *listeners: Any, **more: Any) -> SplitSite:
    """Declare a site with an alternate group that gets nothing, and put its targets in service."""
    site.declare(*listeners, **more)
    site.shift(0)
    site.serve()
    return site


def test_of_20000_requests_the_alternate_group_gets_its_share(site: SplitSite) -> None:
    """A share of 10 % is 10 ± 1 %, and others are as exact as chance allows. None and all are exact."""
    started(site)
    worker = site.alb.worker()
    for share, number in ((0, 1000), (10, REQUESTS), (0.1, REQUESTS), (33.3, REQUESTS), (100, 1000)):
        site.shift(share)
        found = site.shares(number)
        # At least 4.5 standard deviations, so chance fails the test once in 100,000 runs.
        part = share / 100
        within = 0.01 if share == 10 else 5 * sqrt(part * (1 - part) / number)
        assert abs(found["new"] / number - part) <= within, (share, found)
        assert found.total() == number
    assert site.alb.worker() == worker


def test_a_weighted_forward_of_the_user_keeps_its_proportions(site: SplitSite) -> None:
    """Of weights 3 and 2, a share of 10 % makes 54, 6 and 40 %."""
    started(
        site,
        {"default_action": {"forward": [{"target_group": HOME, "weight": 3}, {"target_group": "api", "weight": 2}]}},
    )
    site.shift(10)
    found = site.shares(REQUESTS)
    for name, part in {"old": 0.54, "new": 0.06, "api": 0.4}.items():
        assert abs(found[name] / REQUESTS - part) <= 5 * sqrt(part * (1 - part) / REQUESTS), found


def test_a_share_changes_without_a_check_and_without_a_reload(site: SplitSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only values of maps change, also if another process made the last change. Everything else is checked."""
    started(site)
    worker = site.alb.worker()
    checks: list[Path] = []
    real = process.check

    def check(directory: Path, files: Any) -> str | None:
        checks.append(directory)
        return real(directory, files)

    monkeypatch.setattr(process, "check", check)
    for share in (10, 50, 100, 0):
        balancer = open_balancer(site.alb.balancer.directory)
        balancer.apply(OWNER, with_alternates(site.declared, {HOME: Alternate(share)}))
        stored = balancer.registry().declaration(OWNER)
        assert stored is not None
        assert shares(stored) == {HOME: share}
    assert (checks, site.alb.worker()) == ([], worker)
    site.alb.balancer.apply(OWNER, site.declared)
    assert checks
    assert site.alb.worker() != worker


def test_an_interrupted_change_of_the_share_is_completed(site: SplitSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry has the share before HAProxy has it, and the next reconciliation passes it on."""
    started(site)

    class Killed(BaseException):
        """The end of a process."""

    def killed(_: HAProxyPlane, wanted: object) -> bool:
        raise Killed

    monkeypatch.setattr(HAProxyPlane, "apply", killed)
    with pytest.raises(Killed):
        site.shift(100)
    monkeypatch.undo()
    assert {site.ask() for _ in range(10)} == {"old"}
    assert open_balancer(site.alb.balancer.directory).reconcile() is False
    assert {site.ask() for _ in range(10)} == {"new"}


def test_all_new_requests_move_at_once_under_load(site: SplitSite) -> None:
    """No request that begins after the acknowledged switch reaches the other release, and none fails."""
    started(site)
    stop, seen, failures = threading.Event(), list[tuple[float, float, str]](), list[str]()

    def load() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", site.alb.port, timeout=DEADLINE)) as connection:
            while not stop.is_set():
                begun = time.monotonic()
                connection.request("GET", "/")
                answer = connection.getresponse()
                text = answer.read().decode().strip("<>")
                seen.append((begun, time.monotonic(), text))
                failures.extend([] if answer.status == 200 else [str(answer.status)])

    worker = site.alb.worker()
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    spans = []
    for number in range(10):
        site.shift(0 if number % 2 else 100)
        returned, before = time.monotonic(), len(seen)
        until(lambda before=before: len(seen) > before + 20, "requests go on")  # type: ignore[misc]
        spans.append((returned, time.monotonic(), "old" if number % 2 else "new"))
    stop.set()
    for thread in threads:
        thread.join()
    for returned, changed, name in spans:
        assert {served for begun, ended, served in seen if returned < begun and ended < changed} == {name}
    assert failures == []
    assert site.alb.worker() == worker


def test_a_whole_deployment_loses_no_request(site: SplitSite) -> None:
    """Declared, shifted in steps, and removed again: requests on kept connections all succeed."""
    started(site)
    stop, failures, served = threading.Event(), list[str](), set[str]()

    def load() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", site.alb.port, timeout=DEADLINE)) as connection:
            while not stop.is_set():
                connection.request("GET", "/")
                answer = connection.getresponse()
                served.add(answer.read().decode().strip("<>"))
                failures.extend([] if answer.status == 200 else [str(answer.status)])

    site.alb.balancer.apply(OWNER, site.declared)
    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        site.shift(0)
        site.serve()
        for share in (10, 60, 100, 0):
            site.shift(share)
            served.clear()
            wanted = {"new"} if share == 100 else {"old"} if share == 0 else {"old", "new"}
            until(lambda wanted=wanted: served >= wanted, f"{wanted} respond")  # type: ignore[misc]
        site.alb.balancer.apply(OWNER, site.declared)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


class Visitor:
    """A client with a browser's cookies. Each request uses a new connection."""

    def __init__(self, port: int) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self._url = f"http://127.0.0.1:{port}/"

    def served_by(self) -> str:
        """Return the server that responds."""
        answer = self.session.get(self._url, headers={"Connection": "close"}, timeout=DEADLINE)
        assert answer.status_code == 200
        return str(answer.json()["server"])


def test_a_sticky_client_stays_with_its_release_until_the_other_one_gets_all(alb: Alb) -> None:
    """Known clients stay at a share of 50 %, all move at 100 %, and keep their target when it changes groups."""
    alb.declare(FORWARD, groups={HOME: {"attributes": LB, "health_check": CALM}})
    declared = alb.balancer.registry().declaration(OWNER)
    assert declared is not None

    def shift(share: float) -> None:
        alb.balancer.apply(OWNER, with_alternates(declared, {HOME: Alternate(share)}))

    alb.serve("old-1", "old-2")
    early = [Visitor(alb.port) for _ in range(6)]
    homes = [visitor.served_by() for visitor in early]
    shift(0)
    new = alb.serve("new-1", "new-2", group=ALTERNATE)
    assert [visitor.served_by() for visitor in early] == homes, "the declaration alone moves no client"
    shift(50)
    late = [Visitor(alb.port) for _ in range(30)]
    chosen = [visitor.served_by() for visitor in late]
    assert {name[:3] for name in chosen} == {"old", "new"}
    for _ in range(3):
        assert [visitor.served_by() for visitor in early] == homes
        assert [visitor.served_by() for visitor in late] == chosen
    shift(100)
    moved = [visitor.served_by() for visitor in (*early, *late)]
    assert set(moved) == {"new-1", "new-2"}
    assert [found for found, before in zip(moved[6:], chosen, strict=True) if before.startswith("new")] == [
        before for before in chosen if before.startswith("new")
    ]
    # The end of a deployment: the same targets in the home group.
    for server in new:
        alb.balancer.register(OWNER, HOME, server.target)
    until(
        lambda: alb.states() >= {"new-1": TargetState.HEALTHY, "new-2": TargetState.HEALTHY}.items(), "both are healthy"
    )
    alb.balancer.deregister(OWNER, HOME, "old-1", "old-2")
    for alternates in ({HOME: Alternate(0)}, {}, {HOME: Alternate(0)}):
        alb.balancer.apply(OWNER, with_alternates(declared, alternates))
        assert [visitor.served_by() for visitor in (*early, *late)] == moved


def test_a_rolled_back_client_leaves_the_new_release(alb: Alb) -> None:
    """At a share of 0, no cookie keeps a client with the alternate group."""
    alb.declare(FORWARD, groups={HOME: {"attributes": LB, "health_check": CALM}})
    declared = alb.balancer.registry().declaration(OWNER)
    assert declared is not None
    alb.serve("old")
    for share in (0, 100):
        alb.balancer.apply(OWNER, with_alternates(declared, {HOME: Alternate(share)}))
        if share == 0:
            alb.serve("new", group=ALTERNATE)
    visitor = Visitor(alb.port)
    assert {visitor.served_by() for _ in range(3)} == {"new"}
    alb.balancer.apply(OWNER, with_alternates(declared, {HOME: Alternate(0)}))
    assert {visitor.served_by() for _ in range(3)} == {"old"}


@pytest.mark.parametrize("attributes", [{}, LB], ids=["plain", "sticky"])
def test_a_header_leads_to_the_new_release_at_any_share(site: SplitSite, attributes: dict[str, Any]) -> None:
    """Exactly its value counts, in the rules and listeners of the target group, and only there."""
    rules = [
        {"priority": 7, "conditions": [{"path_pattern": ["/shop"]}], "action": {"forward": HOME}},
        {"priority": 8, "conditions": [{"path_pattern": ["/api"]}], "action": {"forward": "api"}},
    ]
    other = free_port()
    started(site, {**FORWARD, "rules": rules}, {"port": other, **FORWARD}, attributes=attributes)
    for share, without in ((0, {"old"}), (100, {"new"}), (50, {"old", "new"})):
        site.shift(share, BY_HEADER)
        worker = site.alb.worker()
        for path in ("/", "/shop"):
            for port in (site.alb.port, other):
                answers = [site.alb.ask(path, "GET", HEADER, port=port) for _ in range(10)]
                assert {name_of(answer) for answer in answers} == {"new"}
                assert not any("AWSALBTG" in cookie for answer in answers for cookie in answer.all("set-cookie"))
        assert name_of(site.alb.ask("/api", "GET", HEADER)) == "api"
        for headers in ((), (("X-Release", "Next"),), (("X-Release", "next!"),), (("X-Other", "next"),)):
            assert {site.ask(*headers) for _ in range(30)} <= without, headers
        assert site.alb.worker() == worker


def test_a_port_leads_to_the_new_release_at_any_share(site: SplitSite) -> None:
    """The test listener has the rules of the first one. It goes with the alternate group."""
    rules = [{"priority": 8, "conditions": [{"path_pattern": ["/api"]}], "action": {"forward": "api"}}]
    port = free_port()
    test = model.TestTraffic(port=port)
    site.declare({**FORWARD, "rules": rules})
    site.shift(0, test)
    site.serve()
    for share, without in ((0, {"old"}), (100, {"new"})):
        site.shift(share, test)
        assert {site.ask(port=port) for _ in range(10)} == {"new"}
        assert name_of(site.alb.ask("/api", port=port)) == "api"
        assert {site.ask() for _ in range(10)} == without
    site.alb.balancer.apply(OWNER, site.declared)
    with pytest.raises(ConnectionRefusedError):
        site.ask(port=port)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """An authority that clients trust."""
    return Pki(trustme.CA(), tmp_path_factory.mktemp("pki"))


def test_https_and_http2_listeners_share_alike(site: SplitSite, pki: Pki) -> None:
    """The streams of one HTTP/2 connection are divided, and each of them moves at once."""
    secure = free_port()
    https = {"port": secure, "protocol": "HTTPS", "certificates": [pki.issue("localhost", "localhost")]}
    started(site, FORWARD, {**https, **FORWARD})
    trusting = ["--cacert", pki.trust_store()]

    def streams(*arguments: str) -> set[str]:
        urls = [f"https://localhost:{secure}/{number}" for number in range(40)]
        command = ["curl", "--silent", "--http2", "--parallel", *trusting, *arguments, "--write-out", "#", *urls]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT).stdout
        assert done.count("#") == 40
        return set(re.findall(r"<(\w+)>", done))

    for share, served in ((0, {"old"}), (50, {"old", "new"}), (100, {"new"})):
        site.shift(share, BY_HEADER)
        assert streams() == served
        assert streams("--header", "X-Release: next") == {"new"}
        assert site.shares(100).keys() == served


def test_grpc_calls_of_one_connection_are_divided(alb: Alb) -> None:
    """A gRPC client keeps its connection through all shares, and metadata may lead to the new release."""
    check = {key: value for key, value in CALM.items() if key != "path"}
    alb.declare(FORWARD, groups={HOME: {"protocol_version": "GRPC", "health_check": check}})
    declared = alb.balancer.registry().declaration(OWNER)
    assert declared is not None

    def shift(share: float) -> None:
        alb.balancer.apply(OWNER, with_alternates(declared, {HOME: Alternate(share, BY_HEADER)}))

    shift(0)
    for name, group in (("a", HOME), ("b", ALTERNATE)):
        server = Grpc(name)
        alb.servers.append(server)  # type: ignore[arg-type]
        alb.balancer.register(OWNER, group, server.target)
        until(lambda group=group: [s for _, s in alb.states(group)] == ["healthy"], "it is healthy")  # type: ignore[misc]
    with grpc.insecure_channel(f"localhost:{alb.port}") as channel:
        say: Any = channel.unary_unary("/shop.Echo/Say")
        for share, served in ((0, {b"a:"}), (50, {b"a:", b"b:"}), (100, {b"b:"})):
            shift(share)
            assert {say(b"", timeout=DEADLINE) for _ in range(40)} == served
            tested = {say(b"", timeout=DEADLINE, metadata=[("x-release", "next")]) for _ in range(5)}
            assert tested == {b"b:"}


def test_zones_and_fail_open_belong_to_each_group(alb: Alb) -> None:
    """The alternate group is used by the nodes of all zones, and with too few healthy targets it fails open alone."""
    count = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"
    zones = {"a": "127.0.0.3", "b": "127.0.0.4"}
    alb.declare(FORWARD, groups={HOME: {"attributes": {count: 2}}}, zones=zones)
    declared = alb.balancer.registry().declaration(OWNER)
    assert declared is not None
    alb.serve("old-a", zone="a")
    alb.serve("old-b", zone="b")
    alb.balancer.apply(OWNER, with_alternates(declared, {HOME: Alternate(0)}))
    alb.serve("new-a", group=ALTERNATE, zone="a")
    (failing,) = alb.serve("new-b", group=ALTERNATE, zone="b")
    failing.health = 500
    until(lambda: dict(alb.states(ALTERNATE))["new-b"].is_unhealthy, "it is unhealthy")
    for share, served in ((0, {"old-a", "old-b"}), (100, {"new-a", "new-b"})):
        alb.balancer.apply(OWNER, with_alternates(declared, {HOME: Alternate(share)}))
        for address in zones.values():
            assert {alb.ask(address=address).seen["server"] for _ in range(20)} == served
