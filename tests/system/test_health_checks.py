"""Health checks: their requests, the codes that pass, and the reasons of failures."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.model import TargetHealth, TargetState
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.system.alb import CHECK, OWNER, Alb
from tests.system.servers import H2, Grpc, Scripted, context

Server = Scripted | H2 | Grpc
# On a busy machine, a check may be answered late, and a state that ends by itself may be seen late.
CALM = {**CHECK, "interval": "500ms", "timeout": "490ms", "unhealthy_threshold": 2}


def health(alb: Alb, name: str, group: str = "web") -> TargetHealth:
    alb.balancer.reconcile(OWNER, group)
    return next(h for h in alb.balancer.target_health(OWNER, group) if h.target.id == name)


def register(alb: Alb, *servers: Server, group: str = "web") -> None:
    alb.servers += servers  # type: ignore[arg-type]
    alb.balancer.register(OWNER, group, *(server.target for server in servers))


def await_state(alb: Alb, name: str, state: TargetState, group: str = "web") -> TargetHealth:
    def reached() -> TargetHealth | None:
        found = health(alb, name, group)
        return found if found.state is state else None

    found: TargetHealth = until(reached, f"{name} is {state}")
    return found


def declare(alb: Alb, check: dict[str, Any], **group: Any) -> None:
    """Declare the group `web` with this check."""
    alb.declare({"default_action": {"forward": "web"}}, groups={"web": {"health_check": {**CALM, **check}, **group}})


def answers(server: Scripted, *codes: int) -> None:
    """Yield these codes in turn, and the last one forever."""
    left = list(codes)

    def say() -> bytes:
        code = left.pop(0) if len(left) > 1 else left[0]
        return f"HTTP/1.1 {code} Fine\r\nContent-Length: 0\r\n\r\n".encode()

    server.says = say


def test_what_a_target_is_asked(alb: Alb) -> None:
    """A check is a GET with ELB's User-Agent and the address as Host, on a new connection."""
    declare(alb, {"path": "/ready?deep=1&x=%20'\"#"})
    server = Scripted("a")
    register(alb, server)
    until(lambda: len(server.heads) >= 3 and server.closed >= 2, "three checks")
    line, *headers = server.heads[0].strip().split("\r\n")
    assert line == "GET /ready?deep=1&x=%20'\"# HTTP/1.1"
    assert sorted(headers) == [
        "connection: close",
        f"host: 127.0.0.1:{server.port}",
        "user-agent: ELB-HealthChecker/2.0",
    ]


def test_the_host_of_a_check(alb: Alb) -> None:
    """`host` replaces the address, so an application that refuses other hosts becomes healthy."""
    declare(alb, {"host": "shop.test:8080"})
    server = Scripted("a")
    register(alb, server)
    until(lambda: len(server.heads) >= 1, "a check")
    assert "host: shop.test:8080" in server.heads[0].split("\r\n")
    assert "127.0.0.1" not in server.heads[0]


@pytest.mark.parametrize(
    ("matcher", "passing", "failing"),
    [
        (None, {200}, {201, 204, 301, 404, 500}),
        ("204", {204}, {200, 205, 503}),
        ("200,301", {200, 301}, {201, 302, 404}),
        ("200-299", {200, 204, 299}, {300, 304, 404}),
        ("200,210-212,404", {200, 210, 212, 404}, {201, 209, 213, 403, 500}),
        ("200-499", {200, 302, 404, 499}, {500, 503}),
    ],
)
def test_codes_that_pass(alb: Alb, matcher: str | None, passing: set[int], failing: set[int]) -> None:
    """Only codes in the matcher make a target healthy, and a failure names its code."""
    declare(alb, {"matcher": matcher})
    servers = [Scripted(str(code)) for code in passing | failing]
    for server in servers:
        server.status = int(server.name)
    register(alb, *servers)
    for code in passing:
        await_state(alb, str(code), TargetState.HEALTHY)
    for code in failing:
        told = f"Health checks failed with these codes: [{code}]"
        until(lambda code=code, told=told: health(alb, str(code)).description == told, told)  # type: ignore[misc]
        assert health(alb, str(code)).state is TargetState.INITIAL


# The group, and how a target of it is made. `{other}` is the port of a plain server that stays healthy.
KINDS: dict[str, dict[str, Any]] = {
    "http": {},
    "https": {"protocol": "HTTPS", "health_check": {"protocol": "HTTPS"}},
    "tcp": {"health_check": {"protocol": "TCP"}},
    "tcp-for-https": {"protocol": "HTTPS", "health_check": {"protocol": "TCP"}},
    "tcp-for-h2": {"protocol_version": "HTTP2", "health_check": {"protocol": "TCP"}},
    "h2": {"protocol_version": "HTTP2"},
    "h2-and-tls": {"protocol": "HTTPS", "protocol_version": "HTTP2", "health_check": {"protocol": "HTTPS"}},
    "grpc": {"protocol_version": "GRPC"},
    "grpc-by-path": {"protocol_version": "GRPC", "health_check": {"path": "/shop.Echo/Ping", "matcher": "3-5,9"}},
}


class Kinds:
    """All groups of `KINDS`, each with a listener."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.alb = Alb(directory / "balancer")
        self._groups = {name: _calm(kind) for name, kind in KINDS.items()}
        self._listeners = [{"port": free_port(), "default_action": {"forward": name}} for name in KINDS]
        self._more = [{"port": free_port(), "default_action": {"forward": "http"}}]
        self.reload()

    def reload(self) -> None:
        """Declare one listener more or less than before."""
        self.alb.declare(*self._listeners, *self._more, groups=self._groups)
        self._more = [] if self._more else [{"port": free_port(), "default_action": {"forward": "http"}}]

    def checks(self, kind: str) -> str:
        """Return the result of the target's last check. A star means that another one runs."""
        answer = Runtime(self.alb.balancer.directory).ask_worker(f"show stat {OWNER}.{kind} 4 -1")
        rows = csv.DictReader(answer.lstrip("# ").splitlines())
        return next(row["check_status"] for row in rows if row["svname"] == kind)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinds]:
    """All kinds of groups, in one configuration."""
    kinds = Kinds(tmp_path_factory.mktemp("kinds"))
    try:
        yield kinds
    finally:
        kinds.alb.end()


def _calm(kind: dict[str, Any]) -> dict[str, Any]:
    """Return a group's check with the interval of the tests."""
    check = {**CALM, **kind.get("health_check", {})}
    if "path" not in kind.get("health_check", {}) and (check.get("protocol") == "TCP" or "grpc" in str(kind).lower()):
        del check["path"]
    return {**kind, "health_check": check}


def _server(kind: str, directory: Path, certificate: trustme.LeafCert) -> Server:
    if kind.startswith("grpc"):
        return Grpc(kind)
    if kind.startswith("h2"):
        return H2(kind, directory, certificate if "tls" in kind else None)
    return Scripted(kind, context(certificate) if kind == "https" else None)


@pytest.fixture(scope="module")
def certificate() -> trustme.LeafCert:
    """A certificate of an unknown authority, which the balancer accepts from a target."""
    return trustme.CA().issue_cert("somebody.test")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_check_goes_up_and_down(kinds: Kinds, certificate: trustme.LeafCert, kind: str) -> None:
    """Each kind of target becomes healthy, stays so over a reload, and fails when gone."""
    server = _server(kind, kinds.directory, certificate)
    kinds.alb.balancer.register(OWNER, kind, server.target)
    try:
        await_state(kinds.alb, kind, TargetState.HEALTHY, kind)
        kinds.reload()
        until(lambda: kinds.checks(kind) in ("L4OK", "L7OK"), "it passes again")
        assert health(kinds.alb, kind, kind).state is TargetState.HEALTHY
    finally:
        server.end()
    found = await_state(kinds.alb, kind, TargetState.UNHEALTHY, kind)
    assert found.reason == "Target.FailedHealthChecks"
    assert found.description.startswith("Health checks failed")


def test_grpc_codes(kinds: Kinds) -> None:
    """A call that ends with a code of the matcher passes, and another one fails."""
    alb, server, group = kinds.alb, Grpc("codes"), "grpc-by-path"
    register(alb, server, group=group)
    await_state(alb, "codes", TargetState.HEALTHY, group)
    server.health = grpc.StatusCode.UNAVAILABLE
    told = await_state(alb, "codes", TargetState.UNHEALTHY, group)
    assert (told.reason, told.description) == (
        "Target.ResponseCodeMismatch",
        "Health checks failed with these codes: [14]",
    )
    server.health = grpc.StatusCode.INVALID_ARGUMENT
    await_state(alb, "codes", TargetState.HEALTHY, group)


@pytest.mark.parametrize("protocol", ["HTTP", "HTTPS"])
def test_another_port_is_asked(alb: Alb, certificate: trustme.LeafCert, protocol: str) -> None:
    """A check may use another port, with or without TLS, independent of the traffic."""
    asked = Scripted("asked", context(certificate) if protocol == "HTTPS" else None)
    group = "HTTP" if protocol == "HTTPS" else "HTTPS"
    declare(alb, {"protocol": protocol, "port": asked.port}, protocol=group)
    serving = Scripted("serving", context(certificate) if group == "HTTPS" else None)
    alb.servers.append(asked)  # type: ignore[arg-type]
    register(alb, serving)
    await_state(alb, "serving", TargetState.HEALTHY)
    assert serving.heads == []
    assert f"host: 127.0.0.1:{asked.port}" in asked.heads[0]
    assert alb.ask().text == "hello"
    assert len(serving.heads) == 1
    asked.status = 503
    await_state(alb, "serving", TargetState.UNHEALTHY)


def test_a_new_target_needs_one_pass(alb: Alb) -> None:
    """A new target is admitted after one pass with any threshold, also after failures."""
    declare(alb, {"healthy_threshold": 10, "unhealthy_threshold": 10})
    first, late = Scripted("first"), Scripted("late")
    answers(first, 200, 503)
    answers(late, *[503] * 12, 200, 503)
    register(alb, first, late)
    assert await_state(alb, "late", TargetState.HEALTHY)
    assert await_state(alb, "first", TargetState.HEALTHY)


def test_as_many_failures_in_a_row_as_the_threshold_make_it_unhealthy(alb: Alb) -> None:
    """Only three consecutive failures make it unhealthy."""
    declare(alb, {"unhealthy_threshold": 3, "healthy_threshold": 10})
    server = Scripted("a")
    register(alb, server)
    await_state(alb, "a", TargetState.HEALTHY)
    asked = len(server.heads)
    answers(server, *[503, 503, 200] * 3, 200)
    while len(server.heads) < asked + 10:
        assert health(alb, "a").state is TargetState.HEALTHY
        time.sleep(0.005)
    answers(server, 503, 503, 503, 200)
    await_state(alb, "a", TargetState.UNHEALTHY)


def test_as_many_passes_in_a_row_as_the_threshold_make_it_healthy_again(alb: Alb) -> None:
    """Only three consecutive passes make it healthy."""
    declare(alb, {"healthy_threshold": 3})
    server = Scripted("a")
    register(alb, server)
    await_state(alb, "a", TargetState.HEALTHY)
    server.status = 503
    await_state(alb, "a", TargetState.UNHEALTHY)
    asked = len(server.heads)
    answers(server, *[200, 200, 503] * 3, 503)
    while len(server.heads) < asked + 10:
        assert health(alb, "a").state is TargetState.UNHEALTHY
        time.sleep(0.005)
    answers(server, 200)
    await_state(alb, "a", TargetState.HEALTHY)


def _nothing(server: Scripted) -> Callable[[], bytes | None]:
    return lambda: None


def _silence(server: Scripted) -> Callable[[], bytes | None]:
    return lambda: b""


def _refusal(server: Scripted) -> Callable[[], bytes | None]:
    return lambda: b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"


# How a server fails, the reason and the beginning of its description.
FAILURES = {
    "codes": (_refusal, "Target.ResponseCodeMismatch", "Health checks failed with these codes: [401]"),
    "silence": (_silence, "Target.Timeout", "Request timed out"),
    "nothing": (_nothing, "Target.FailedHealthChecks", "Health checks failed"),
}


def test_reasons(alb: Alb) -> None:
    """Each kind of failure has ELB's reason and description, before and after the first pass."""
    declare(alb, {})
    servers = {name: Scripted(name) for name in FAILURES}
    late = {name: Scripted(f"late-{name}") for name in FAILURES}
    for name, (way, _, _) in FAILURES.items():
        late[name].says = way(late[name])
    register(alb, *servers.values(), *late.values())
    for name in FAILURES:
        await_state(alb, name, TargetState.HEALTHY)
        assert (health(alb, name).reason, health(alb, name).description) == ("", "")
        servers[name].says = FAILURES[name][0](servers[name])
    for name, (_, reason, description) in FAILURES.items():
        found = await_state(alb, name, TargetState.UNHEALTHY)
        assert found.reason == reason
        assert found.description.startswith(description)
        never = health(alb, f"late-{name}")
        assert (never.state, never.reason) == (TargetState.INITIAL, "Elb.InitialHealthChecking")
        assert never.description.startswith(description)


def test_what_is_said_of_targets_that_do_not_fail(alb: Alb) -> None:
    """Initial, draining and unused targets have ELB's codes and descriptions."""
    alb.declare({"default_action": {"forward": "web"}}, groups={"web": {"health_check": CALM}, "spare": {}})
    waits, leaves, spare = Scripted("waits"), Scripted("leaves"), Scripted("spare")
    waits.says = lambda: b""
    register(alb, leaves)
    await_state(alb, "leaves", TargetState.HEALTHY)
    register(alb, waits)
    told = health(alb, "waits")
    assert (told.state, told.reason) == (TargetState.INITIAL, "Elb.InitialHealthChecking")
    assert told.description == "Initial health checks in progress"
    alb.balancer.deregister(OWNER, "web", "leaves")
    told = health(alb, "leaves")
    assert (told.state, told.reason) == (TargetState.DRAINING, "Target.DeregistrationInProgress")
    assert told.description == "Target deregistration is in progress"
    register(alb, spare, group="spare")
    told = health(alb, "spare", "spare")
    assert (told.state, told.reason) == (TargetState.UNUSED, "Target.NotInUse")
    assert told.description == "Target group is not configured to receive traffic from the load balancer"


def test_another_pace_or_port_leaves_old_targets_checked(alb: Alb) -> None:
    """Old targets keep their check, and new ones have the changed one."""
    previous, current = Scripted("previous"), Scripted("current")
    alb.servers += [previous, current]  # type: ignore[list-item]
    declare(alb, {"port": previous.port})
    old, new = Scripted("old"), Scripted("new")
    register(alb, old)
    await_state(alb, "old", TargetState.HEALTHY)
    declare(alb, {"port": current.port, "interval": "600ms", "unhealthy_threshold": 3})
    register(alb, new)
    await_state(alb, "new", TargetState.HEALTHY)
    previous.status = 500
    await_state(alb, "old", TargetState.UNHEALTHY)
    assert health(alb, "new").state is TargetState.HEALTHY
    current.status = 500
    await_state(alb, "new", TargetState.UNHEALTHY)


def test_another_question_leaves_old_targets_unchecked(alb: Alb) -> None:
    """Targets registered under another check count as healthy."""
    declare(alb, {"path": "/v1"})
    old, new = Scripted("old"), Scripted("new")
    register(alb, old)
    await_state(alb, "old", TargetState.HEALTHY)
    declare(alb, {"path": "/v2", "matcher": "204"})
    new.status = 204
    register(alb, new)
    await_state(alb, "new", TargetState.HEALTHY)
    asked = len(old.heads)
    until(lambda: len(new.heads) > 5, "the new one is asked on")
    assert len(old.heads) == asked
    assert health(alb, "old").description.startswith("Not checked")
    # Checks of other tests may still arrive at a reused port.
    assert any(head.startswith("GET /v2 ") for head in new.heads)
    assert not any(head.startswith("GET /v1 ") for head in new.heads)


def test_a_target_answers_with_breaks_of_unicode(alb: Alb) -> None:
    """A reason phrase with characters that Unicode counts as line breaks hides no target, and not its own state."""
    broken, good = Scripted("broken"), Scripted("good")
    broken.says = lambda: "HTTP/1.1 503 a\v, \x1c, \x85, \u2028\r\nContent-Length: 0\r\n\r\n".encode()
    declare(alb, {})
    register(alb, broken, good)
    await_state(alb, "good", TargetState.HEALTHY)
    until(lambda: health(alb, "broken").description.endswith("[503]"), "the check has failed")


def test_a_changed_listener_beside_https_checks(alb: Alb) -> None:
    """A configuration with admitted targets is accepted if the check uses TLS and the targets do not."""
    certificate = trustme.CA().issue_cert("localhost")
    checked, serving = Scripted("checked", context(certificate)), Scripted("serving")
    alb.servers.append(checked)  # type: ignore[arg-type]
    check = {"protocol": "HTTPS", "port": checked.port}
    declare(alb, check)
    register(alb, serving)
    await_state(alb, "serving", TargetState.HEALTHY)
    worker = alb.worker()
    alb.port = free_port()
    declare(alb, check)
    assert alb.worker() != worker
    assert alb.ask().status == 200
