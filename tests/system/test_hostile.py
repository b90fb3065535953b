"""Clients and targets that misbehave, and their effect on others."""

from __future__ import annotations

import http.client
import multiprocessing
import os
import re
import resource
import socket
import statistics
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from multiprocessing.connection import Connection
from typing import NamedTuple

import pytest

from pipeline.balancer.haproxy.control_socket import Runtime
from pipeline.balancer.model import Declaration, Target
from tests.support.ports import free_port
from tests.support.waiting import DEADLINE, until
from tests.system.alb import OWNER, Alb

# Used only by this process: on 127.0.0.1, another connection could take a free port first.
_ADDRESS = f"127.{os.getpid() // 65536 % 200 + 1}.{os.getpid() // 256 % 256}.{os.getpid() % 254 + 1}"
_LARGE = 100 * 2**20
_CHUNK = bytes(2**16)
# The rate of a fast line, in bytes per second. Without it, the test would measure its own processes.
_RATE = 50 * 2**20
# A separate address, because thousands of connections would use up the ports of other tests. The ports are among those
# that the kernel hands out: a server of another test that listens on every address could not use one below.
_SOURCE, _FIRST_PORT = "127.0.0.2", 33_000
_SLOW, _MOST_IDLE = 500, 10_000
# Seconds, longer than the measurement.
_LATE = 1
# Requests are measured in short whiles, by turns in peace and under attack. What else the machine does may spoil some.
_WINDOW, _WINDOWS, _LEAST_ROUNDS, _MOST_ROUNDS = 0.1, 3, 2, 8
_LEAST_REQUESTS = 50
# Seconds between two requests with bad responses, so the attack does not compete for the processors.
_PAUSE = 0.005
# Below this, in seconds, a p99 is the scheduler's.
_NOISE = 0.001
# Separate processes, so they take no time of the measured client.
_SPAWN = multiprocessing.get_context("spawn")


class Attack:
    """An attack that runs until it is stopped. `begun` is set when it has started."""

    def __init__(self, place: tuple[str, int]) -> None:
        self.place = place
        self.begun = threading.Event()
        self.over = threading.Event()

    def connect(self, source: int = 0) -> socket.socket:
        """Return a connection that is reset on close, so it leaves no port behind."""
        connection = socket.create_connection(self.place, 30, source_address=(_SOURCE, source))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return connection

    def slow_heads(self) -> None:
        """Send 500 requests that never end, a byte at a time."""
        with ExitStack() as stack:
            connections = [stack.enter_context(self.connect()) for _ in range(_SLOW)]
            for connection in connections:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
            self.begun.set()
            while not self.over.wait(0.1):
                for connection in connections:
                    connection.sendall(b"a")

    def idle_connections(self) -> None:
        """Open 10,000 connections that send nothing."""
        with ExitStack() as stack:
            missing, port = idle_clients(), _FIRST_PORT
            while missing and port < 2**16:
                with suppress(OSError):
                    stack.enter_context(self.connect(port))
                    missing -= 1
                port += 1
            self.begun.set()
            self.over.wait()

    def upload(self) -> None:
        """Upload 100 MB at the rate of a fast line, repeatedly."""
        while not self.over.is_set():
            with self.connect() as connection:
                connection.sendall(f"POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: {_LARGE}\r\n\r\n".encode())
                self.begun.set()
                send_paced(connection, self.over)

    def download(self) -> None:
        """Download 100 MB, repeatedly."""
        self._ask("/large")

    def garbage(self) -> None:
        """Run clients of a target that responds with invalid HTTP."""
        self._ask("/garbage")

    def half(self) -> None:
        """Run clients of a target that breaks off its responses."""
        self._ask("/half")

    def late(self) -> None:
        """Run 200 clients of a target that does not respond."""
        with ExitStack() as stack:
            for _ in range(200):
                stack.enter_context(self.connect()).sendall(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
            self.begun.set()
            self.over.wait()

    def _ask(self, path: str) -> None:
        while not self.over.is_set():
            with self.connect() as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                self.begun.set()
                while connection.recv(2**18) and not self.over.is_set():
                    pass
            self.over.wait(_PAUSE)


ATTACKS = (
    Attack.slow_heads,
    Attack.idle_connections,
    Attack.upload,
    Attack.download,
    Attack.garbage,
    Attack.half,
    Attack.late,
)


def idle_clients() -> int:
    """Return the number of idle clients, limited by this process's open files."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return min(_MOST_IDLE, most - 500)


def send_paced(connection: socket.socket, over: threading.Event) -> None:
    """100 MB, no faster than the rate."""
    began = time.monotonic()
    for sent in range(0, _LARGE, len(_CHUNK)):
        if over.wait(max(0.0, began + sent / _RATE - time.monotonic())):
            return
        connection.sendall(_CHUNK)


def attacker(orders: Connection) -> None:
    """Run all attacks in a process, by commands with a name and an address."""
    while True:
        name, place = orders.recv()
        attack = Attack(place)
        thread = threading.Thread(target=getattr(attack, name))
        thread.start()
        orders.send(attack.begun.wait(DEADLINE))
        orders.recv()
        attack.over.set()
        thread.join()
        orders.send(True)


def target(told: Connection) -> None:
    """Run the process of a target."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    told.send(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    """Respond as well or as badly as the path requests."""
    with suppress(OSError), connection, connection.makefile("rb") as lines:
        while line := lines.readline():
            method, path, _ = line.decode().split()
            while lines.readline() not in (b"\r\n", b""):
                pass
            if path == "/late":
                time.sleep(_LATE)
            if path in ("/garbage", "/half"):
                connection.sendall(b"\0garbage\r\n\r\n" if path == "/garbage" else b"HTTP/1.1 200 OK\r\nContent-Le")
                return
            if path in ("/large", "/whole") and method == "GET":
                connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {_LARGE}\r\n\r\n".encode())
                send_paced(connection, threading.Event()) if path == "/large" else connection.sendall(bytes(_LARGE))
                continue
            read = sum(len(lines.read(2**16)) for _ in range(_LARGE // 2**16)) if method == "POST" else 0
            connection.sendall(f"HTTP/1.1 200 OK\r\nX-Read: {read}\r\nContent-Length: 2\r\n\r\nok".encode())


class Arena(NamedTuple):
    """A load balancer with a listener for good clients and one for hostile ones, with separate targets."""

    alb: Alb
    good: int
    hostile: int
    orders: Connection

    @contextmanager
    def attack(self, name: str) -> Iterator[None]:
        self.orders.send((name, (_ADDRESS, self.hostile)))
        assert self.orders.recv()
        try:
            yield
        finally:
            self.orders.send("stop")
            self.orders.recv()
            until(lambda: self.connections() < 20, "all of them are gone")

    def connections(self) -> int:
        """Return the number of HAProxy's clients."""
        info = Runtime(self.alb.balancer.directory).ask_worker("show info")
        return int(re.findall(r"^CurrConns: (\d+)", info, re.MULTILINE)[0])

    def p99(self) -> float:
        """Return the p99 of one client's sequential requests, each of which must be answered."""
        times: list[float] = []
        with socket.create_connection((_ADDRESS, self.good), timeout=DEADLINE) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end = time.perf_counter() + _WINDOW
            while (began := time.perf_counter()) < end or len(times) < _LEAST_REQUESTS:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
                times.append(time.perf_counter() - began)
        return statistics.quantiles(times, n=100)[98]


@contextmanager
def running(function: Callable[[Connection], None]) -> Iterator[Connection]:
    """Yield a process and the connection to it."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=function, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    alb, ports = Alb(tmp_path_factory.mktemp("hostile") / "balancer"), {"good": free_port(), "hostile": free_port()}
    listeners = [{"port": port, "default_action": {"forward": name}} for name, port in ports.items()]
    group = {"port": 80, "health_check": {"protocol": "TCP", "interval": "5s", "timeout": "1s"}}
    declaration = {
        "target_groups": dict.fromkeys(ports, group),
        "load_balancers": {"edge": {"address": _ADDRESS, "listeners": listeners}},
    }
    with ExitStack() as stack:
        orders, *told = [stack.enter_context(running(function)) for function in (attacker, target, target)]
        stack.callback(alb.balancer.withdraw, OWNER)
        alb.balancer.apply(OWNER, Declaration.model_validate(declaration))
        for name, port in zip(ports, (connection.recv() for connection in told), strict=True):
            alb.balancer.register(OWNER, name, Target(id=name, address="127.0.0.1", port=port))
        for name in ports:
            until(lambda name=name: {str(state) for _, state in alb.states(name)} == {"healthy"}, f"{name} is healthy")  # type: ignore[misc]
        yield Arena(alb, ports["good"], ports["hostile"], orders)


@pytest.mark.timing
@pytest.mark.parametrize("name", [attack.__name__ for attack in ATTACKS])
def test_others_are_served_as_ever(arena: Arena, name: str) -> None:
    """Good clients get all responses, with a p99 below twice the usual one."""
    peace, war = list[float](), list[float]()
    for number in range(_MOST_ROUNDS):
        peace += [arena.p99() for _ in range(_WINDOWS)]
        with arena.attack(name):
            if name == "idle_connections":
                until(lambda: arena.connections() >= idle_clients(), "HAProxy has them all")
            war += [arena.p99() for _ in range(_WINDOWS)]
        most = 2 * max(_NOISE, statistics.median(peace))
        if number + 1 >= _LEAST_ROUNDS and statistics.median(war) < most:
            return
    raise AssertionError(f"p99 is {statistics.median(war):.4f} s, and {statistics.median(peace):.4f} s in peace")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_large_body_arrives(arena: Arena, method: str) -> None:
    """A body of 100 MB arrives complete in either direction."""
    connection = http.client.HTTPConnection(_ADDRESS, arena.hostile, timeout=DEADLINE)
    with closing(connection):
        connection.request(method, "/whole", body=bytes(_LARGE) if method == "POST" else None)
        answer = connection.getresponse()
        read = sum(iter(lambda: len(answer.read(2**18)), 0))
        assert (_LARGE if method == "GET" else 2) == read
        assert method == "GET" or answer.getheader("X-Read") == str(_LARGE)
