"""The balancer with a real HAProxy and real targets."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.balancer.haproxy import process
from pipeline.balancer.haproxy.configuration import render
from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.haproxy.log_line import AccessLogLine
from pipeline.balancer.haproxy.worker_user import UID
from pipeline.balancer.model import TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.balancer.registry import Registry
from pipeline.balancer.wanted import plane_config
from pipeline.base.errors import BalancerFault, ConfigError
from tests.support.access_log import written
from tests.support.ports import free_port
from tests.support.sample import sampled
from tests.support.waiting import DEADLINE, until
from tests.system.bench import GROUP, OWNER, Bench, declare


def master(bench: Bench) -> int:
    pid = Runtime(bench.balancer.directory).master_pid()
    assert pid is not None
    return pid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root")
def test_the_workers_are_not_root(bench: Bench) -> None:
    """A worker, which parses what clients send, has neither root's user id nor a capability. It still reloads."""
    bench.serve("a")
    for _ in range(2):
        worker = Runtime(bench.balancer.directory).ask_worker("show info").partition("Pid: ")[2].split()[0]
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{worker}/status").read_text().splitlines())
        assert status["Uid"].split() == status["Gid"].split() == [str(UID)] * 4
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        bench.balancer.apply(OWNER, declare(bench.port, delay="6s"))
    assert bench.get() == (200, "a")


def test_initial_target_gets_no_request(bench: Bench) -> None:
    """A target whose checks fail stays initial and gets only checks."""
    good, *_ = bench.serve("good")
    bad = bench.backend("bad")
    bad.health = 503
    bench.balancer.register(OWNER, GROUP, bad.target)
    told = until(lambda: (h := bench.health("bad")) and "503" in h.description and h, "the failed check is told")
    assert {bench.get() for _ in range(20)} == {(200, "good")}
    assert (told.state, told.reason) == (TargetState.INITIAL, "Elb.InitialHealthChecking")
    assert told.description == "Health checks failed with these codes: [503]"
    assert bad.requests == 0
    assert good.requests == 20


def test_healthy_target_gets_its_share(bench: Bench) -> None:
    """Two healthy targets get one request each, in turn."""
    a, b = bench.serve("a", "b")
    for _ in range(10):
        bench.get()
    assert (a.requests, b.requests) == (5, 5)


@pytest.mark.parametrize(
    ("health", "break_it", "reason", "description"),
    [
        ({}, "503", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]"),
        ({}, "gone", "Target.FailedHealthChecks", "Health checks failed: Connection refused"),
        ({"protocol": "TCP"}, "gone", "Target.FailedHealthChecks", "Health checks failed: Connection refused"),
        ({}, "silent", "Target.Timeout", "Request timed out"),
    ],
)
def test_unhealthy_target_says_why(
    bench: Bench, health: dict[str, str], break_it: str, reason: str, description: str
) -> None:
    """A target that was healthy and fails its checks is unhealthy, with ELB's reason code."""
    bench.balancer.apply(OWNER, declare(bench.port, health=health))
    backend = bench.backend("a")
    bench.balancer.register(OWNER, GROUP, backend.target)
    bench.await_state("a", TargetState.HEALTHY)
    if break_it == "503":
        backend.health = 503
    else:
        backend.shutdown()
        backend.server_close() if break_it == "gone" else None
    bench.await_state("a", TargetState.UNHEALTHY)
    # The code is hidden while the next check runs, and on a busy machine a check may fail by its timeout before.
    expected = (reason, description)
    until(lambda: (h := bench.health("a")) and (h.reason, h.description) == expected, f"a is unhealthy by {expected}")


def test_unhealthy_target_comes_back(bench: Bench) -> None:
    """A target that passes its checks again is healthy again."""
    backend, _ = bench.serve("a", "b")
    backend.health = 500
    bench.await_state("a", TargetState.UNHEALTHY)
    assert {bench.get()[1] for _ in range(6)} == {"b"}
    backend.health = 200
    bench.await_state("a", TargetState.HEALTHY)
    assert {bench.get()[1] for _ in range(6)} == {"a", "b"}


def test_deregistered_target_finishes(bench: Bench) -> None:
    """A draining target gets no new request, counts what is in flight, and finishes it."""
    a, b = bench.serve("a", "b")
    thread, result = bench.get_later("/slow")
    slow, other = until(lambda: (a, b) if a.requests else (b, a) if b.requests else None, "the request arrived")
    bench.balancer.deregister(OWNER, GROUP, slow.name)
    draining = bench.health(slow.name)
    assert draining is not None
    assert (draining.state, draining.in_flight) == (TargetState.DRAINING, 1)
    assert {bench.get()[1] for _ in range(10)} == {other.name}
    slow.released.set()
    thread.join()
    assert result == [(200, slow.name)]
    until(lambda: (h := bench.health(slow.name)) and h.in_flight == 0, "nothing is in flight")
    bench.balancer.remove_target(OWNER, GROUP, slow.name)
    assert bench.health(slow.name) is None


def test_abort_connections(bench: Bench) -> None:
    """`abort_connections` closes open requests, and a removed target soon disappears from HAProxy."""
    (a,) = bench.serve("a")
    thread, result = bench.get_later("/slow")
    until(lambda: a.requests, "the request arrived")
    bench.balancer.deregister(OWNER, GROUP, "a")
    bench.balancer.abort_connections(OWNER, GROUP, "a")
    thread.join()
    bench.balancer.remove_target(OWNER, GROUP, "a")
    assert isinstance(result[0], http.client.HTTPException | OSError) or result[0][0] >= 500  # type: ignore[index]
    runtime = Runtime(bench.balancer.directory)
    until(lambda: bench.health("a") is None and not runtime.servers(f"{OWNER}.{GROUP}"), "the server is deleted")


def test_dying_target_costs_no_get(bench: Bench) -> None:
    """A GET whose target closes the connection without an answer is answered by another target."""
    a, *_ = bench.serve("a", "b", "c")
    a.dies = True
    assert [bench.get()[0] for _ in range(10)] == [200] * 10
    assert a.requests > 0


def test_dying_target_costs_a_post_its_answer(bench: Bench) -> None:
    """A POST is not sent twice, and its client gets an error."""
    a, b = bench.serve("a", "b")
    a.dies = True
    answers = [bench.post()[0] for _ in range(10)]
    assert answers.count(502) == a.requests > 0
    assert answers.count(200) == b.requests


def test_dying_target_costs_no_post_with_a_key(bench: Bench) -> None:
    """A POST with an Idempotency-Key is retried on another target."""
    a, b, c = bench.serve("a", "b", "c")
    a.dies = True
    assert [bench.post(Idempotency_Key=str(n))[0] for n in range(10)] == [200] * 10
    assert b.requests + c.requests == 10
    assert a.requests > 0


def test_killed_haproxy_is_restarted(bench: Bench) -> None:
    """After SIGKILL, the next reconciliation restarts HAProxy with all targets in service."""
    bench.serve("a", "b")
    late = bench.backend("late")
    late.health = 500
    bench.balancer.register(OWNER, GROUP, late.target)
    os.kill(master(bench), signal.SIGKILL)
    until(lambda: Runtime(bench.balancer.directory).fingerprint() is None, "HAProxy is gone")
    assert bench.balancer.ensure_running() is True
    # On a busy machine a check may be late, so that a target is away for a moment.
    until(lambda: {bench.get()[1] for _ in range(6)} == {"a", "b"}, "both get requests")
    state = bench.health("late")
    assert state is not None
    assert state.state is TargetState.INITIAL
    late.health = 200
    bench.await_state("late", TargetState.HEALTHY)
    assert bench.balancer.ensure_running() is False


def test_reload_loses_nothing(bench: Bench) -> None:
    """Reloads under requests on keep-alive connections lose none of them."""
    # On a busy machine, a check may be answered late.
    bench.serve("a", "b", health={"interval": "5s", "timeout": "4s", "healthy_threshold": 1})
    stop, failures, done = threading.Event(), list[str](), [0]

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", bench.port, timeout=DEADLINE)
        while not stop.is_set():
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                done[0] += 1
                if answer.status != 200:
                    failures.append(str(answer.status))
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                connection.close()
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        extra = free_port()
        bench.balancer.apply("other", declare(extra))
        before = done[0]
        until(lambda before=before: done[0] > before + 20, "requests go on")  # type: ignore[misc]
        bench.balancer.withdraw("other")
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_drain_reaches_replaced_workers(bench: Bench) -> None:
    """A request in a replaced worker counts as in flight and finishes."""
    (a,) = bench.serve("a")
    thread, result = bench.get_later("/slow")
    until(lambda: a.requests, "the request arrived")
    bench.balancer.apply("other", declare(free_port()))
    bench.balancer.deregister(OWNER, GROUP, "a")
    health = bench.health("a")
    assert health is not None
    assert (health.state, health.in_flight) == (TargetState.DRAINING, 1)
    a.released.set()
    thread.join()
    assert result == [(200, "a")]
    until(lambda: (h := bench.health("a")) and h.in_flight == 0, "nothing is in flight")


def test_an_idle_connection_to_a_replaced_worker_gets_current_targets(bench: Bench) -> None:
    """A request on an old connection goes only to current targets."""
    old, new = bench.serve("old", "new")
    kept = [http.client.HTTPConnection("127.0.0.1", bench.port, timeout=DEADLINE) for _ in range(6)]

    def ask(connection: http.client.HTTPConnection, path: str) -> str:
        connection.request("GET", path)
        return connection.getresponse().read().decode()

    assert {ask(connection, "/") for connection in kept} == {"old", "new"}
    bench.balancer.apply("other", declare(free_port()))
    bench.balancer.deregister(OWNER, GROUP, "old")
    before = old.requests
    assert {ask(connection, "/") for connection in kept[:3]} == {"new"}
    assert {ask(connection, "/forwarded") for connection in kept[3:]} == {"127.0.0.1"}
    assert old.requests == before
    assert new.requests > 0
    for connection in kept:
        connection.close()


def test_a_reload_for_another_owner_cuts_no_long_answer(bench: Bench) -> None:
    """A response longer than any timeout survives a reload."""
    short = declare(bench.port, delay="0s").model_dump()
    short["load_balancers"]["edge"]["attributes"] = {"idle_timeout.timeout_seconds": 1}
    bench.balancer.apply(OWNER, declare(bench.port).model_validate(short))
    backend = bench.backend("a")
    bench.balancer.register(OWNER, GROUP, backend.target)
    bench.await_state("a", TargetState.HEALTHY)
    with socket.create_connection(("127.0.0.1", bench.port), timeout=DEADLINE) as client:
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: backend.requests, "the request arrived")
        bench.balancer.apply("other", declare(free_port()))
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.endswith(b"the end")


def test_taken_port_is_refused(bench: Bench) -> None:
    """A listener on a port of another program is refused before anything changes."""
    bench.serve("a")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as refused:
            bench.balancer.apply(OWNER, declare(port))
    assert refused.value.message == f"port {port} of load balancer edge of shop is taken by another program"
    assert bench.balancer.declaration(OWNER) == declare(bench.port)
    assert bench.get() == (200, "a")


def test_port_of_another_owner_is_refused(bench: Bench) -> None:
    """Two owners cannot listen on one port, and the error names the first one."""
    bench.serve("a")
    with pytest.raises(ConfigError) as refused:
        bench.balancer.apply("other", declare(bench.port))
    assert str(refused.value) == (
        f"port {bench.port} of load balancer edge of other is taken by load balancer edge of shop\n"
        "use another port, or leave default_action out to add rules to that listener"
    )


def test_changed_health_check_spares_old_targets(bench: Bench) -> None:
    """Targets registered under another check are not failed by the new one; new targets are held to it."""
    bench.serve("old")
    bench.balancer.apply(OWNER, declare(bench.port, health={"path": "/new-healthz", "matcher": "404"}))
    fresh = bench.backend("fresh")
    bench.balancer.register(OWNER, GROUP, fresh.target)
    told = until(lambda: (h := bench.health("fresh")) and "200" in h.description and h, "the new check fails")
    assert told.state is TargetState.INITIAL
    old = bench.health("old")
    assert old is not None
    assert old.state is TargetState.HEALTHY
    assert bench.get() == (200, "old")


def test_unused_group(bench: Bench) -> None:
    """A target in a group that no listener forwards to is unused."""
    declaration = declare(bench.port).model_dump()
    declaration["target_groups"]["spare"] = declaration["target_groups"][GROUP]
    bench.balancer.apply(OWNER, declare(bench.port).model_validate(declaration))
    bench.balancer.register(OWNER, "spare", bench.backend("a").target)
    (health,) = bench.balancer.target_health(OWNER, "spare")
    assert (health.state, health.reason) == (TargetState.UNUSED, "Target.NotInUse")


def test_any_directory(tmp_path: Path) -> None:
    """A directory with spaces, quotes and a path longer than a socket address works."""
    bench = Bench(tmp_path / 'it\'s a % $HOME "dir"' / ("long" * 30))
    try:
        bench.serve("a")
        assert bench.get() == (200, "a")
        # Root's workers pass it to their sockets, and nobody may list it.
        assert oct(bench.balancer.directory.stat().st_mode)[-3:] == ("711" if os.geteuid() == 0 else "700")
        modes = {oct(f.stat().st_mode)[-3:] for f in bench.balancer.directory.iterdir()}
        assert modes == {"600"}
    finally:
        bench.backends[0].end()
        bench.balancer.withdraw(OWNER)


def test_last_owner_ends_haproxy(bench: Bench) -> None:
    """HAProxy stops when the last owner withdraws, and another owner keeps it running."""
    bench.serve("a")
    bench.balancer.apply("other", declare(free_port()))
    bench.balancer.withdraw("other")
    assert bench.get() == (200, "a")
    bench.balancer.withdraw(OWNER)
    assert Runtime(bench.balancer.directory).fingerprint() is None
    with pytest.raises(ConnectionRefusedError):
        bench.get()


def test_another_process_adopts(bench: Bench) -> None:
    """A new balancer object works with the running HAProxy."""
    bench.serve("a")
    pid = master(bench)
    again = open_balancer(bench.balancer.directory)
    assert again.ensure_running() is False
    assert [h.state for h in again.target_health(OWNER, GROUP)] == [TargetState.HEALTHY]
    assert master(bench) == pid


def test_damaged_registry_is_refused(bench: Bench) -> None:
    """A damaged registry is not taken for an empty one, and HAProxy keeps running."""
    bench.serve("a")
    registry = bench.balancer.directory / "registry.json"
    good = registry.read_text()
    registry.write_text(good[20:])
    with pytest.raises(BalancerFault, match="is damaged"):
        bench.balancer.ensure_running()
    assert bench.get() == (200, "a")
    registry.write_text(good)


def test_access_log(bench: Bench) -> None:
    """Every request leaves a line with its target, status and path, before and after a reload."""
    bench.serve("a")
    bench.get("/before")
    bench.balancer.apply("other", declare(free_port()))
    bench.get("/after")
    log = bench.balancer.directory / "access.log"
    until(lambda: b"/after" in written(log), "the line is written")
    lines = [line.fields for raw in log.read_bytes().splitlines() if (line := AccessLogLine.read(raw))]
    assert [(line["status"], line["server"], line["uri"]) for line in lines] == [
        ("200", "a", "/before"),
        ("200", "a", "/after"),
    ]


@settings(max_examples=sampled(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_any_health_check_path_is_taken(tmp_path: Path, path: str) -> None:
    """HAProxy takes every valid path of a check literally."""
    registry = Registry().declare(OWNER, declare(8000, health={"path": f"/{path}"}))
    rendered = render(plane_config(registry))
    files = {**rendered.texts(), process.CONFIGURATION: rendered.configuration}
    assert process.check(tmp_path, files) is None
