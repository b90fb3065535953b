"""Copies of requests that are sent to both releases in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from pipeline.balancer.access import LoggedRequest
from pipeline.balancer.model import Target
from stages.deploy.mirror_client import CopyOutcome, MirrorClient
from stages.deploy.mirror_traffic import CopyPair, MirrorTraffic
from tests.support.waiting import until

GET = LoggedRequest("GET", "/", "shop.example.com", None, "192.0.2.7", 8080, False)
NEW = [Target(id=f"new{n}", address="127.0.0.1", port=8000 + n) for n in range(2)]
PREVIOUS = [Target(id=f"old{n}", address="127.0.0.1", port=9000 + n) for n in range(2)]


class Client(MirrorClient):
    """The new release responds with 500, and the previous one with 200. Responses wait for `released`."""

    def __init__(self) -> None:
        super().__init__(timedelta(seconds=1))
        self.sent: list[tuple[str, str]] = []
        self.released = threading.Event()
        self.released.set()
        self.fails = False
        self.closed = 0

    def send(self, target: Target, request: LoggedRequest) -> CopyOutcome:
        self.sent.append((target.id, request.path))
        self.released.wait()
        if self.fails:
            raise ValueError("a fault of the client")
        return CopyOutcome(500 if target.id.startswith("new") else 200, 0.01)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.released.set()


@pytest.fixture
def traffics(client: Client) -> Iterator[Callable[..., MirrorTraffic]]:
    with ExitStack() as stack:

        def make(concurrency: int = 1, max_waiting: int = 100) -> MirrorTraffic:
            made = MirrorTraffic(lambda: client, concurrency, max_waiting)
            stack.callback(made.stop)
            return made

        yield make


def all_finished(traffic: MirrorTraffic, count: int) -> list[CopyPair]:
    found: list[CopyPair] = []

    def are_there() -> bool:
        found.extend(traffic.finished())
        return len(found) >= count

    until(are_there, f"{count} pairs")
    return found


def test_each_request_goes_to_both_releases(client: Client, traffics: Callable[..., MirrorTraffic]) -> None:
    """The outcomes belong to their releases, whichever copy was the first."""
    traffic = traffics()
    requests = [GET._replace(path=f"/{n}") for n in range(50)]
    assert traffic.send(requests, NEW, PREVIOUS, 0.0) == 50
    assert all_finished(traffic, 50) == [CopyPair(CopyOutcome(500, 0.01), CopyOutcome(200, 0.01))] * 50
    ways = {path: {target[:3] for target, of in client.sent if of == path} for _, path in client.sent}
    assert list(ways) == [each.path for each in requests]
    assert all(found == {"new", "old"} for found in ways.values())
    # Each of these fails by chance once in 10**15 runs.
    assert {target[:3] for target, _ in client.sent[::2]} == {"new", "old"}
    assert {target for target, _ in client.sent} == {"new0", "new1", "old0", "old1"}


def test_no_more_than_may_be_open(client: Client, traffics: Callable[..., MirrorTraffic]) -> None:
    """Requests are left out while targets do not answer, and those that were accepted come to their end."""
    traffic = traffics(concurrency=2, max_waiting=3)
    client.released.clear()
    assert traffic.send([GET] * 5, NEW, PREVIOUS, 0.0) == 3
    assert traffic.send([GET], NEW, PREVIOUS, 0.0) == 0
    until(lambda: len(client.sent) == 2, "one copy of each thread")
    client.released.set()
    assert len(all_finished(traffic, 3)) == 3
    assert traffic.send([GET] * 5, NEW, PREVIOUS, 0.0) == 3


def test_a_fault_of_the_client_says_nothing_of_a_release(
    client: Client, traffics: Callable[..., MirrorTraffic]
) -> None:
    """The copy is left out, and its thread sends the next ones."""
    traffic = traffics(max_waiting=1)
    client.fails = True
    traffic.send([GET], NEW, PREVIOUS, 0.0)
    until(lambda: bool(client.sent), "the copy that fails")
    client.fails = False
    until(lambda: not traffic.finished() and traffic.send([GET], NEW, PREVIOUS, 0.0) == 1, "room for another one")
    assert len(all_finished(traffic, 1)) == 1


def test_stop(client: Client, traffics: Callable[..., MirrorTraffic]) -> None:
    """Nothing is sent afterwards, also of what waits for its time."""
    traffic = traffics(concurrency=2)
    traffic.send([GET] * 2, NEW, PREVIOUS, 10_000.0)
    assert len(all_finished(traffic, 1)) == 1
    traffic.stop()
    until(lambda: client.closed == 2, "the end of both threads")
    assert len(client.sent) == 2
    until(lambda: not any(thread.name == "mirror" for thread in threading.enumerate()), "that no thread is left")
