"""The activator's limits, its table and its counts, without HAProxy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pipeline.balancer.haproxy.activator.counts import CountWriter, HoldingCounts, process_name, read_counts
from pipeline.balancer.haproxy.activator.process import abort, command
from pipeline.balancer.haproxy.activator.table import HoldingGroup, HoldingTable
from pipeline.balancer.haproxy.naming import ACTIVATOR_SOCKET, holding_socket
from pipeline.base.errors import BalancerFault
from pipeline.base.sockets import connection_to
from tests.support.waiting import DEADLINE, until

GROUP = "shop.web"
# The number of no process: larger than any.
NOBODY = 2**22 + 1


def test_the_table_is_read_back(tmp_path: Path) -> None:
    """Whole, by another process too. A damaged one has no groups, and is written again."""
    groups = {GROUP: HoldingGroup(60.0, secure=False, http2=True, targets=(("192.0.2.1", 80), ("2001:db8::1", 80)))}
    table = HoldingTable(tmp_path)
    assert table.groups() == {}
    table.replace(groups)
    assert table.groups() == HoldingTable(tmp_path).groups() == groups
    (tmp_path / "activator.json").write_text('{"shop.web": [1]}')
    assert HoldingTable(tmp_path).groups() == {}
    table.replace(groups)
    assert HoldingTable(tmp_path).groups() == groups
    table.remove()
    assert table.groups() == {}


def test_counts_are_those_of_all_activators_that_run(tmp_path: Path) -> None:
    """During an upgrade there are two. What one that was killed has left is none, also if its pid is that of another.

    The next one removes it.
    """
    folder = tmp_path / "activator"
    writer = CountWriter(tmp_path)
    writer.write(GROUP, HoldingCounts(2, Counter({"192.0.2.1:80": 1})))
    other, damaged = map(process_name, (os.getppid(), 1))
    # Those of a process that had the pid before, and one that no process has.
    former, reused = f"{os.getpid()}-1", f"{os.getppid()}-1"
    for name in (other, former, reused, str(os.getppid()), f"{NOBODY}-1"):
        (folder / f"{GROUP}.{name}").write_text(json.dumps({"held": 3, "passed": {"192.0.2.1:80": 4}}))
    (folder / f"{GROUP}.{damaged}").write_text("{")
    found = read_counts(tmp_path, [GROUP, "shop.other"])
    assert found[GROUP] == HoldingCounts(5, Counter({"192.0.2.1:80": 5}))
    assert found["shop.other"] == HoldingCounts()
    writer.write(GROUP, HoldingCounts(0, Counter({"192.0.2.1:80": 0})))
    assert read_counts(tmp_path, [GROUP])[GROUP].held == 3
    writer.write(GROUP, HoldingCounts(1))
    # The same name after another boot, however unlikely.
    CountWriter(tmp_path)
    assert {path.name.rpartition(".")[2] for path in folder.iterdir()} == {other, damaged}


class Process:
    """An activator in a process of its own, with a group without targets, which holds at most two requests.

    `code` is executed before it starts.
    """

    def __init__(self, directory: Path, code: str = "") -> None:
        self.directory = directory
        self.name_targets()
        code += "import sys; from pipeline.balancer.haproxy.activator import server; server.MAX_HELD = 2; "
        code += "from pathlib import Path; server.serve(Path(sys.argv[1]))"
        self._process = subprocess.Popen([sys.executable, "-c", code, str(directory)])
        until(lambda: self._process.poll() is not None or self._listens(), "the activator listens")
        assert self._process.poll() is None

    def name_targets(self, *targets: tuple[str, int]) -> None:
        """Write the table."""
        HoldingTable(self.directory).replace({GROUP: HoldingGroup(600.0, secure=False, http2=False, targets=targets)})

    @contextmanager
    def client(self) -> Iterator[socket.socket]:
        """Yield a connection as HAProxy makes it."""
        with connection_to(self.directory, holding_socket(GROUP), DEADLINE) as connection:
            yield connection

    @property
    def counts(self) -> HoldingCounts:
        """The counts of the group."""
        return read_counts(self.directory, [GROUP])[GROUP]

    def await_held(self, count: int) -> None:
        """Wait until so many requests are held."""
        until(lambda: self.counts.held == count, f"{count} are held")

    def leave(self) -> None:
        """Let it exit after its open requests, as in an upgrade. It listens no more when this returns."""
        self._process.terminate()
        until(lambda: self._process.poll() is not None or not self._listens(), "the activator leaves")

    def await_exit(self) -> int:
        """Return its exit code."""
        return self._process.wait(DEADLINE)

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        with suppress(OSError), connection_to(self.directory, ACTIVATOR_SOCKET, DEADLINE):
            return True
        return False


@contextmanager
def accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Yield the next connection of a target."""
    # A failure would wait for ever without it.
    listener.settimeout(DEADLINE)
    target, _ = listener.accept()
    with target:
        target.settimeout(DEADLINE)
        yield target


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """An activator."""
    found = Process(tmp_path)
    try:
        yield found
    finally:
        found.end()


def test_no_more_than_a_number_is_held(process: Process) -> None:
    """One more is closed at once. When one that was held leaves, there is room again."""
    with process.client() as first:
        first.sendall(b"x")
        with process.client():
            process.await_held(2)
            with process.client() as third:
                assert third.recv(1) == b""
        process.await_held(1)
        with process.client():
            process.await_held(2)


def test_a_target_that_refuses(process: Process) -> None:
    """Another one gets the request. Without one, it is held on, until a target accepts it."""
    # The port has a socket that does not listen.
    with socket.socket() as bound, socket.create_server(("127.0.0.1", 0)) as listener, process.client() as client:
        bound.bind(("127.0.0.1", 0))
        client.sendall(b"request")
        process.name_targets(bound.getsockname())
        process.await_held(1)
        process.name_targets(bound.getsockname(), listener.getsockname())
        with accepted(listener) as target:
            assert target.recv(100) == b"request"
            endpoint = f"127.0.0.1:{listener.getsockname()[1]}"
            until(lambda: process.counts.passed[endpoint] == 1, "it is counted")
            target.sendall(b"hello")
        assert client.recv(100) == b"hello"
        assert client.recv(100) == b""
    until(lambda: process.counts == HoldingCounts(), "nothing is left")


def test_one_with_many_connections_leaves(tmp_path: Path) -> None:
    """What it holds is passed on, also if its sockets have descriptors above 1023, which `select` does not take."""
    code = (
        "import os, resource; most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)); "
        "files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1024)]; "
    )
    process = Process(tmp_path, code)
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener, process.client() as client:
            client.sendall(b"request")
            process.await_held(1)
            process.leave()
            process.name_targets(listener.getsockname())
            with accepted(listener) as target:
                assert target.recv(100) == b"request"
        assert process.await_exit() == 0
    finally:
        process.end()


def test_a_replaced_one_obeys(process: Process) -> None:
    """Until it exits, it closes what it has passed on, although the commands go to its successor."""
    with socket.create_server(("127.0.0.1", 0)) as listener, process.client() as client:
        process.name_targets(listener.getsockname())
        with accepted(listener):
            process.leave()
            (process.directory / "activator" / "control.1-1").touch()
            successor = Process(process.directory)
            try:
                endpoint = f"127.0.0.1:{listener.getsockname()[1]}"
                assert process.counts.passed[endpoint] == 1
                abort(process.directory, endpoint)
                assert client.recv(1) == b""
                assert process.await_exit() == 0
                assert len([*(process.directory / "activator").iterdir()]) == 1
            finally:
                successor.end()


def test_commands(process: Process) -> None:
    """`abort` ends what was passed on to an endpoint, and only that."""
    with socket.create_server(("127.0.0.1", 0)) as listener, process.client() as client:
        process.name_targets(listener.getsockname())
        with accepted(listener):
            command(process.directory, "abort 127.0.0.1:1")
            assert sum(process.counts.passed.values()) == 1
            command(process.directory, f"abort 127.0.0.1:{listener.getsockname()[1]}")
            assert client.recv(1) == b""
    process.end()
    with pytest.raises(BalancerFault) as caught:
        command(process.directory, "sync")
    assert caught.value.message == "the activator does not respond: Connection refused"
