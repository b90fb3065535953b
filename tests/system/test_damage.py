"""Files of the balancer's directory that are removed or damaged while HAProxy runs, and while it does not."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from unittest.mock import ANY

import pytest

from pipeline.balancer.haproxy.naming import MASTER_SOCKET, WORKER_SOCKET
from pipeline.balancer.model import TargetState
from pipeline.balancer.planes import open_balancer
from pipeline.base.errors import BalancerFault
from pipeline.base.sockets import short_path
from tests.support.ports import free_port
from tests.support.waiting import SOON, until
from tests.system.bench import OWNER, Bench, declare

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "not text": lambda good: b"\xff\xfe" + good,
    "cut": lambda good: good[: len(good) // 2],
    "one byte": lambda good: good[:7] + b"\xe9" + good[8:],
}
# Not the registry, and not the logs. Sockets are no files.
KEPT = ("registry.json", "registry.json.kept", "access.log", "lock")


def derived(directory: Path) -> list[Path]:
    """Return the files that Penstock writes from the registry."""
    return [path for path in sorted(directory.iterdir()) if path.is_file() and path.name not in KEPT]


def kill(bench: Bench) -> None:
    """Kill HAProxy."""
    pid = bench.balancer.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: bench.balancer.pid() is None, "HAProxy is gone")


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_derived_is_written_anew(bench: Bench, damage: str) -> None:
    """Each file is damaged while HAProxy is dead. It starts, and serves as before."""
    bench.serve("a")
    for path in derived(bench.balancer.directory):
        kill(bench)
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
        assert open_balancer(bench.balancer.directory).ensure_running(), path.name
        bench.await_state("a", TargetState.HEALTHY)
        assert bench.get() == (200, "a"), path.name


def test_what_is_derived_and_removed_is_written_anew(bench: Bench) -> None:
    """Each file is removed while HAProxy runs, and then it is killed."""
    bench.serve("a")
    for path in derived(bench.balancer.directory):
        path.unlink()
        open_balancer(bench.balancer.directory).ensure_running()
        assert bench.get() == (200, "a"), path.name
        kill(bench)
        assert open_balancer(bench.balancer.directory).ensure_running(), path.name
        assert bench.get() == (200, "a"), path.name


def test_a_registry_that_is_removed_is_restored(bench: Bench) -> None:
    """A look reads its second name and writes nothing. The next change restores it, and HAProxy goes on."""
    bench.serve("a")
    file, pid = bench.balancer.directory / "registry.json", bench.balancer.pid()
    good = bench.balancer.registry()
    file.unlink()
    opened = open_balancer(bench.balancer.directory)
    assert [health.state for health in opened.target_health(OWNER, "web")] == [TargetState.HEALTHY]
    assert not file.exists()
    opened.reconcile()
    assert file.exists()
    assert open_balancer(bench.balancer.directory).registry() == good
    assert bench.balancer.pid() == pid
    assert bench.get() == (200, "a")


def test_without_any_registry_nothing_is_changed(bench: Bench) -> None:
    """Every call fails with what to do, and HAProxy goes on."""
    bench.serve("a")
    names = ("registry.json", "registry.json.kept")
    texts = {name: (bench.balancer.directory / name).read_text() for name in names}
    for name in names:
        (bench.balancer.directory / name).unlink()
    opened = open_balancer(bench.balancer.directory)
    calls: list[Callable[[], object]] = [
        opened.registry,
        opened.reconcile,
        opened.ensure_running,
        lambda: opened.withdraw(OWNER),
        lambda: opened.deregister(OWNER, "web", "a"),
    ]
    for call in calls:
        with pytest.raises(BalancerFault, match=r"registry\.json is missing, but HAProxy runs") as caught:
            call()
        assert "write {} into it" in (caught.value.hint or "")
    assert bench.get() == (200, "a")
    (bench.balancer.directory / "registry.json").write_text(texts["registry.json"])
    opened.ensure_running()
    assert bench.get() == (200, "a")


def test_a_new_beginning_without_a_registry(bench: Bench) -> None:
    """The hint works: HAProxy is stopped, and a new declaration is accepted."""
    bench.serve("a")
    (bench.balancer.directory / "registry.json").write_text("{}")
    opened = open_balancer(bench.balancer.directory)
    opened.ensure_running()
    assert opened.pid() is None
    bench.backends[0].end()
    bench.serve("b")
    assert bench.get() == (200, "b")


def test_what_a_killed_change_left_is_removed_with_the_last_owner(bench: Bench) -> None:
    """No file stays that a killed process had begun to write."""
    bench.serve("a")
    partial = bench.balancer.directory / ".registry.json.4711"
    partial.touch()
    bench.balancer.withdraw(OWNER)
    assert not partial.exists()


def remove(path: Path) -> None:
    path.unlink()


def replace_by_file(path: Path) -> None:
    path.unlink()
    path.write_text("")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_dead_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as dead, short_path(path.parent, path.name) as short:
        dead.bind(short)


WHAT = pytest.mark.parametrize("damage", [remove, replace_by_file, replace_by_folder, replace_by_dead_socket])


@WHAT
@pytest.mark.parametrize("name", [MASTER_SOCKET, WORKER_SOCKET])
def test_haproxy_without_a_socket_is_replaced(bench: Bench, name: str, damage: Callable[[Path], None]) -> None:
    """The next change takes effect, since a HAProxy that cannot be controlled is ended and started again."""
    bench.serve("a")
    before, port = bench.balancer.pid(), free_port()

    def is_replaced() -> bool:
        damage(bench.balancer.directory / name)
        assert bench.get() == (200, "a")
        bench.balancer.apply("other", declare(port))
        return bench.balancer.pid() not in (None, before)

    # A master that has just started may make its sockets anew, and so repair the first damage by itself.
    until(is_replaced, "HAProxy is replaced")
    bench.await_state("a", TargetState.HEALTHY)
    assert [bench.get(port=used) for used in (bench.port, port)] == [(200, "a"), (503, ANY)]


@pytest.mark.parametrize("damage", [remove, replace_by_file])
@pytest.mark.parametrize("name", [MASTER_SOCKET, WORKER_SOCKET])
def test_a_missing_socket_is_noticed(bench: Bench, name: str, damage: Callable[[Path], None]) -> None:
    """Without a change, the daemon's reconciliation and `pipeline recover` replace HAProxy within ten seconds."""
    calls: list[Callable[[], bool]] = [bench.balancer.reconcile, bench.balancer.ensure_running]
    for call in calls:
        bench.serve("a")

        def is_replaced(call: Callable[[], bool] = call) -> bool:
            damage(bench.balancer.directory / name)
            return call()

        # A master that has just started may make its sockets anew, and so repair the first damage by itself.
        until(is_replaced, "HAProxy is replaced", deadline=SOON)
        bench.await_state("a", TargetState.HEALTHY)
        assert bench.get() == (200, "a")
        assert not call()
        bench.balancer.withdraw(OWNER)
        bench.backends.pop().end()
