"""Network namespaces by their names or paths: open, enter, make and remove."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pipeline.balancer.attachments.fault import AttachmentFault, Conflict, Missing
from pipeline.balancer.attachments.rtnetlink import RoutingSocket

_T = TypeVar("_T")

FOLDER = Path("/run/netns")
"""The folder of the namespaces that `ip netns` shows."""

OWN = Path("/proc/thread-self/ns/net")
_NEW_NETWORK = 0x40000000
_KIND_OF_NAMESPACE = 0xB703
_BIND, _DETACH = 4096, 2


def path_of(place: str) -> Path:
    """Return the file of a namespace that is declared by its name or path."""
    return Path(place) if place.startswith("/") else FOLDER / place


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Within the block, a descriptor of a namespace. Raises `Missing` if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Missing(f"there is no network namespace {path}: {error.strerror}") from None
    try:
        if not _is_network(descriptor):
            raise Conflict(f"{path} is not a network namespace")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def routing_in(path: Path) -> Iterator[tuple[int, RoutingSocket]]:
    """Within the block, a descriptor of a namespace and its routing socket. Raises as `opened`."""
    with opened(path) as namespace, within(namespace, RoutingSocket) as routing:
        yield namespace, routing


def within(namespace: int, function: Callable[[], _T]) -> _T:
    """Return what a function returns in a namespace, by its descriptor. Raises what the function raises.

    A thread of its own enters the namespace, so no other one can be left in it.
    """

    def inside() -> _T:
        _enter(namespace)
        return function()

    return _in_thread(inside)


def make(path: Path) -> None:
    """Make a namespace that stays until `remove`. Does nothing if there is one."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with suppress(AttachmentFault), opened(path):
        return
    path.touch(mode=0o400)
    _in_thread(lambda: _make_in_thread(path))


def remove(path: Path) -> None:
    """Remove a namespace that `make` has made, with its devices. Does nothing if there is none."""
    # One call removes one mount, and a crash between two processes may have left several.
    while _libc("umount2", str(path).encode(), _DETACH) == 0:
        pass
    if (number := ctypes.get_errno()) not in (errno.EINVAL, errno.ENOENT):
        raise OSError(number, os.strerror(number))
    path.unlink(missing_ok=True)


def _make_in_thread(path: Path) -> None:
    _check(_libc("unshare", _NEW_NETWORK))
    _check(_libc("mount", str(OWN).encode(), str(path).encode(), None, _BIND, None))


def _in_thread(function: Callable[[], _T]) -> _T:
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001  # the caller gets it
            errors.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter(namespace: int) -> None:
    _check(_libc("setns", namespace, _NEW_NETWORK))


def _is_network(descriptor: int) -> bool:
    try:
        return fcntl.ioctl(descriptor, _KIND_OF_NAMESPACE) == _NEW_NETWORK
    except OSError:
        return False


def _libc(name: str, *arguments: object) -> int:
    ctypes.set_errno(0)
    return int(getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
