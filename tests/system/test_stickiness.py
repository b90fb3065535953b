"""Clients that stay with their target, by the load balancer's or the application's cookie."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import quote

import pytest
import requests

from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.model import TargetState
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until
from tests.system.alb import CHECK, OWNER, Alb, Echo

LB = {"stickiness.enabled": True, "stickiness.type": "lb_cookie"}
APP = {
    "stickiness.enabled": True,
    "stickiness.type": "app_cookie",
    "stickiness.app_cookie.cookie_name": "SID",
}
COUNT = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"
# On a busy machine, a check may be answered late.
CALM = {**CHECK, "interval": "300ms", "timeout": "290ms", "unhealthy_threshold": 2}
# Fail-open servers of the same backend, and of a separate one.
KINDS = pytest.mark.parametrize("more", [{}, {COUNT: 2}], ids=["backup servers", "separate backend"])


class Client:
    """A client with a browser's cookies. Each request uses a new connection."""

    def __init__(self, alb: Alb) -> None:
        self._alb = alb
        self.session = requests.Session()
        self.session.trust_env = False

    def ask(self, query: str = "") -> requests.Response:
        url = f"http://127.0.0.1:{self._alb.port}/{query}"
        return self.session.get(url, headers={"Connection": "close"}, timeout=DEADLINE)

    def served_by(self, query: str = "") -> str:
        return str(self.ask(query).json()["server"])

    def stays(self, number: int = 6) -> str:
        """Return the only target that responds to the client."""
        (name,) = {self.served_by() for _ in range(number)}
        return name

    def log_in(self, session: str) -> str:
        """Get the application's cookie, and the target that set it."""
        return self.served_by(f"?cookie=SID%3D{session}")


def declare(alb: Alb, *attributes: dict[str, Any], listeners: int = 1) -> None:
    """Declare the group `web` with these attributes, on a number of listeners."""
    forward = {"default_action": {"forward": "web"}}
    others = [{"port": free_port(), **forward} for _ in range(listeners - 1)]
    together = {key: value for part in attributes for key, value in part.items()}
    alb.declare(forward, *others, groups={"web": {"attributes": together, "health_check": CALM}})


def state(alb: Alb, name: str, wanted: TargetState) -> None:
    until(lambda: dict(alb.states())[name] is wanted, f"{name} is {wanted}")


def test_a_client_stays(alb: Alb) -> None:
    """A client with its cookie stays, and clients without cookies are spread."""
    declare(alb, LB)
    alb.serve("a", "b", "c")
    clients = [Client(alb) for _ in range(3)]
    assert {client.stays() for client in clients} == {"a", "b", "c"}
    assert {alb.ask().seen["server"] for _ in range(6)} == {"a", "b", "c"}


def test_the_cookies_are_elbs(alb: Alb) -> None:
    """AWSALB or AWSALBCORS alone keeps a client, and targets do not see AWSALB."""
    declare(alb, LB)
    alb.serve("a", "b")
    answer = alb.ask()
    plain, cors = answer.all("Set-Cookie")
    value = plain.removeprefix("AWSALB=").partition(";")[0]
    assert value
    assert cors == f"AWSALBCORS={value}; Max-Age=604800; Path=/; SameSite=None; Secure"
    assert "Max-Age=604800" in plain
    for cookie in (f"AWSALB={value}", f"AWSALBCORS={value}", f"x=y; AWSALBCORS={value}"):
        answers = [alb.ask("/", "GET", ("Cookie", cookie)) for _ in range(6)]
        assert {found.seen["server"] for found in answers} == {answer.seen["server"]}, cookie
        assert not any("AWSALB=" in value for found in answers for value in found.seen_all("cookie"))


@pytest.mark.parametrize("cookie", ["", "no", "0123456789abcdef|abcde|abcde", "%00", "a" * 3000, "é"])
def test_a_bad_cookie_is_ignored(alb: Alb, cookie: str) -> None:
    """A request with an invalid cookie goes to any target and gets a valid cookie."""
    declare(alb, LB)
    alb.serve("a", "b")
    answers = [alb.ask("/", "GET", ("Cookie", f"AWSALB={cookie}")) for _ in range(4)]
    assert {answer.status for answer in answers} == {200}
    assert {answer.seen["server"] for answer in answers} == {"a", "b"}
    assert all((answer.header("Set-Cookie") or "").startswith("AWSALB=") for answer in answers)


@pytest.mark.parametrize("kind", [LB, APP], ids=["lb_cookie", "app_cookie"])
@KINDS
def test_a_client_moves_when_its_target_leaves_and_only_then(
    alb: Alb, kind: dict[str, Any], more: dict[str, Any]
) -> None:
    """In a rolling replacement, each client moves once."""
    declare(alb, kind, more)
    alb.serve("a1", "b1", "c1")
    clients = [Client(alb) for _ in range(6)]
    for number, client in enumerate(clients):
        client.log_in(str(number))
    homes = [client.stays(3) for client in clients]
    assert set(homes) == {"a1", "b1", "c1"}
    for name in "abc":
        alb.serve(f"{name}2")
        alb.balancer.deregister(OWNER, "web", f"{name}1")
        for number, client in enumerate(clients):
            now = client.stays(3)
            assert now == homes[number] or homes[number] == f"{name}1", "only clients of the one that left move"
            homes[number] = now
    assert not {"a1", "b1", "c1"} & set(homes)


@pytest.mark.parametrize("kind", [LB, APP], ids=["lb_cookie", "app_cookie"])
@KINDS
def test_a_client_leaves_an_unhealthy_target_for_good(alb: Alb, kind: dict[str, Any], more: dict[str, Any]) -> None:
    """A client stays with its next target when the previous one recovers."""
    declare(alb, kind, more)
    servers = {server.name: server for server in alb.serve("a", "b", "c")}
    client = Client(alb)
    client.log_in("one")
    home = client.stays()
    servers[home].health = 503
    state(alb, home, TargetState.UNHEALTHY)
    refuge = client.stays()
    assert refuge != home
    servers[home].health = 200
    state(alb, home, TargetState.HEALTHY)
    assert client.stays() == refuge


@pytest.mark.parametrize("kind", [LB, APP], ids=["lb_cookie", "app_cookie"])
@KINDS
def test_failing_open_leaves_no_client_with_an_unhealthy_target(
    alb: Alb, kind: dict[str, Any], more: dict[str, Any]
) -> None:
    """Clients leave unhealthy targets when another one recovers."""
    declare(alb, kind, more)
    servers = alb.serve("a", "b", "c")
    clients = [Client(alb) for _ in range(6)]
    for server in servers:
        server.health = 503
        state(alb, server.name, TargetState.UNHEALTHY)
    for number, client in enumerate(clients):
        client.log_in(str(number))
        assert client.ask().status_code == 200
    well: list[Echo] = servers[: 2 if more else 1]
    for server in well:
        server.health = 200
    for server in well:
        state(alb, server.name, TargetState.HEALTHY)
    assert {client.stays() for client in clients} <= {server.name for server in well}


def test_a_cookie_counts_from_the_last_request(alb: Alb) -> None:
    """A cookie's duration starts again with each request."""
    declare(alb, LB, {"stickiness.lb_cookie.duration_seconds": 1})
    alb.serve("a", "b")
    client = Client(alb)
    asked = time.monotonic()
    origin = home = client.served_by()
    first = ("Cookie", f"AWSALB={client.session.cookies['AWSALB']}")
    # On a machine that stood still, the cookie may count no more.
    assert alb.ask("/", "GET", first).seen["server"] == home or time.monotonic() - asked > 1

    def forgotten() -> bool:
        nonlocal asked, home
        began, server = time.monotonic(), client.served_by()
        # Nor may its own.
        assert server == home or time.monotonic() - asked > 1
        asked, home = began, server
        return bool(alb.ask("/", "GET", first).seen["server"] != origin)

    # HAProxy writes the time into a cookie in units of four seconds.
    until(forgotten, "the first cookie counts no more")
    assert client.session.cookies["AWSALB"] != first[1].removeprefix("AWSALB=")


def test_an_application_cookie_sticks_once_a_target_has_set_it(alb: Alb) -> None:
    """Only a cookie that a target has set keeps a client."""
    declare(alb, APP)
    alb.serve("a", "b")
    made_up = ("Cookie", "SID=made-up")
    assert {alb.ask("/", "GET", made_up).seen["server"] for _ in range(6)} == {"a", "b"}
    clients = [Client(alb) for _ in range(4)]
    homes = [client.log_in(f"s{number}") for number, client in enumerate(clients)]
    assert set(homes) == {"a", "b"}
    assert [client.stays() for client in clients] == homes
    assert {alb.ask("/", "GET", made_up).seen["server"] for _ in range(6)} == {"a", "b"}


@pytest.mark.parametrize("name", ["a#b", "#", "it's", "a$HOME", "a%b", "a`b|c~d", "^*&+!", "'"])
def test_an_application_cookie_may_have_any_name(alb: Alb, name: str) -> None:
    """Its characters have no meaning for HAProxy."""
    declare(alb, APP, {"stickiness.app_cookie.cookie_name": name})
    alb.serve("a", "b", "c")
    first = alb.ask(f"/?cookie={quote(f'{name}=1', safe='')}", "GET").seen["server"]
    answers = [alb.ask("/", "GET", ("Cookie", f"{name}=1")) for _ in range(6)]
    assert {answer.seen["server"] for answer in answers} == {first}


def test_application_cookies_survive_a_reload(alb: Alb) -> None:
    """The new worker gets the clients' targets from the replaced one."""
    declare(alb, APP)
    alb.serve("a", "b", "c")
    # For its first five seconds HAProxy waits for a replaced worker, and shares no table.
    runtime = Runtime(alb.balancer.directory)
    until(
        lambda: re.search(r" flags=0x\w*[37bf] resync_timeout", runtime.ask_worker("show peers")),
        "it teaches",
    )
    clients = [Client(alb) for _ in range(30)]
    homes = [client.log_in(f"s{number}") for number, client in enumerate(clients)]
    for listeners in (2, 1, 2):
        worker = alb.worker()
        declare(alb, APP, listeners=listeners)
        assert alb.worker() != worker
        assert [client.stays(2) for client in clients] == homes


def test_an_application_cookie_counts_from_the_last_request(alb: Alb) -> None:
    """An application cookie's duration starts with each request."""
    declare(alb, APP, {"stickiness.app_cookie.duration_seconds": 1})
    alb.serve("a", "b")
    busy, idle = Client(alb), Client(alb)
    homes = busy.log_in("busy"), idle.log_in("idle")
    assert set(homes) == {"a", "b"}

    def forgotten() -> bool:
        assert busy.served_by() == homes[0]
        return "key=idle" not in Runtime(alb.balancer.directory).ask_worker("show table shop.web")

    until(forgotten, "the idle client is forgotten")
    assert {idle.served_by() for _ in range(4)} == {"a", "b"}
    assert busy.stays() == homes[0]


@KINDS
def test_the_clients_of_a_target_that_left_are_spread(alb: Alb, more: dict[str, Any]) -> None:
    """A new target does not get all clients of the one that it replaces."""
    declare(alb, APP, more)
    alb.serve("a", "b", "c")
    clients = [Client(alb) for _ in range(24)]
    for number, client in enumerate(clients):
        client.log_in(f"s{number}")
    moving = [client for client in clients if client.served_by() == "a"]
    assert len(moving) >= 4
    alb.balancer.deregister(OWNER, "web", "a")
    until(lambda: alb.balancer.target_health(OWNER, "web")[0].in_flight == 0, "nothing is in flight")
    alb.balancer.remove_target(OWNER, "web", "a")
    until(lambda: "a" not in Runtime(alb.balancer.directory).servers("shop.web"), "its server is deleted")
    alb.serve("d")
    assert len({client.served_by() for client in moving}) > 1
