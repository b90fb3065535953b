"""Reporters get every event, and never delay the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.clock import Clock, SystemClock
from pipeline.event_kinds import EventKind
from pipeline.events import Event, Events
from pipeline.reporters.dispatcher import ReporterDispatcher
from pipeline.reporters.http_post import TIMEOUT
from pipeline.store.records import RunState
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock
from tests.support.started_runs import begin_run
from tests.support.waiting import SOON, until
from tests.unit.reporters.configuration import SHA, TOKEN, configured, masked
from tests.unit.reporters.recorder import Recorder

Starts = Callable[..., "Underway"]


class Underway:
    """A run with its events, as the runner creates them."""

    def __init__(
        self, store: Store, path: Path, reporters: dict[str, Any], clock: Clock | None = None, **secrets: str
    ) -> None:
        self.store = store
        self.clock = FakeClock(auto_advance=True)
        self.run = begin_run(store, "shop").number
        self.events = Events("shop", self.run, masked)
        self.heard: list[Event] = []
        self.reporting = ReporterDispatcher(
            configured(reporters, path, **secrets), self.run, store, self.events, clock or self.clock
        )
        self.events.subscribe(self.heard.append)
        self.events.subscribe(self.reporting.on_event)

    def start(self) -> None:
        self.events.emit(EventKind.RUN_STARTED, f"run {self.run} of shop")

    def find(self) -> None:
        self.store.runs.set_revision("shop", self.run, sha=SHA, ref="main", author="Ada", subject="Add carts")
        self.events.emit(EventKind.STAGE_FINISHED, "Source: main", stage="source")

    def finish(self, state: RunState = RunState.SUCCEEDED) -> None:
        self.store.runs.finish("shop", self.run, state)
        self.events.emit(EventKind.RUN_FINISHED, f"run {self.run}: {state}", state=state)

    @property
    def failures(self) -> list[str]:
        return [event.message for event in self.heard if event.kind == "reporter.failed"]


@pytest.fixture
def starts(store: Store, tmp_path: Path) -> Iterator[Starts]:
    made: list[Underway] = []

    def starts(reporters: dict[str, Any], **arguments: Any) -> Underway:
        made.append(Underway(store, tmp_path / "pipeline.yaml", reporters, **arguments))
        return made[-1]

    yield starts
    for underway in made:
        underway.reporting.close(0)


def hub(forge: Recorder, **options: Any) -> dict[str, Any]:
    return {"type": "github", "api": forge.url, "repository": "ada/shop", "token": "${secret:TOKEN}", **options}


def test_a_run_from_beginning_to_end(forge: Recorder, starts: Starts) -> None:
    """A forge gets the start once the commit is resolved, a webhook gets it at once, and both get the end."""
    underway = starts({"hub": hub(forge), "own": {"type": "webhook", "url": f"{forge.url}/hook"}})
    underway.start()
    until(lambda: len(forge.requests) == 1, "one request")
    underway.find()
    underway.events.emit(EventKind.STAGE_STARTED, "Build …", stage="build")
    underway.events.emit(EventKind.TARGET_HEALTHY, "10.0.0.2 is healthy")
    underway.finish()
    underway.reporting.close(10)
    states = [received.data["state"] for received in forge.requests if "/statuses/" in received.path]
    assert states == ["pending", "success"]
    kinds = [received.headers["X-Penstock-Event"] for received in forge.requests if received.path == "/hook"]
    assert kinds == ["run.started", "run.finished"]
    assert underway.failures == []


def test_a_run_whose_commit_is_known_from_the_start(forge: Recorder, starts: Starts) -> None:
    """The start of a queued run is reported once."""
    underway = starts({"hub": hub(forge)})
    underway.store.runs.set_revision("shop", underway.run, sha=SHA, ref="main", author="", subject="")
    underway.start()
    underway.find()
    underway.finish(RunState.FAILED)
    underway.reporting.close(10)
    assert [received.data["state"] for received in forge.requests] == ["pending", "failure"]


def test_a_run_that_found_no_commit(forge: Recorder, starts: Starts) -> None:
    """A forge gets nothing of a run without a commit."""
    underway = starts({"hub": hub(forge)})
    underway.start()
    underway.finish(RunState.FAILED)
    underway.reporting.close(10)
    assert forge.requests == []
    assert underway.failures == []


def test_superseded(forge: Recorder, starts: Starts) -> None:
    """Every event that finishes a run is reported."""
    underway = starts({"hub": hub(forge)})
    underway.find()
    underway.events.emit(EventKind.RUN_SUPERSEDED, "run 1: superseded by run 2")
    underway.reporting.close(10)
    assert [(a.data["state"], a.data["description"]) for a in forge.requests] == [
        ("error", "run 1: superseded by run 2")
    ]


def test_a_forge_that_is_down_for_a_while(forge: Recorder, starts: Starts) -> None:
    """Messages stay in order while earlier ones are retried."""
    forge.responses = [(503, {}, b"")] * 4
    underway = starts({"hub": hub(forge)})
    underway.find()
    underway.start()
    underway.finish()
    underway.reporting.close(10)
    assert [received.data["state"] for received in forge.requests] == ["pending"] * 5 + ["success"]
    assert [wait.total_seconds() for wait in underway.clock.waits] == [1, 2, 4, 8]
    assert underway.failures == []


@pytest.mark.parametrize(("received", "waited"), [("3", 3), ("0", 1), ("86400", 3600)])
def test_a_forge_that_asks_for_a_pause(forge: Recorder, starts: Starts, received: str, waited: int) -> None:
    """A retry waits for the Retry-After of the response, up to an hour."""
    forge.responses = [(429, {"Retry-After": received}, b"")]
    underway = starts({"hub": hub(forge)})
    underway.find()
    underway.start()
    underway.reporting.close(10)
    assert [wait.total_seconds() for wait in underway.clock.waits] == [waited]
    assert len(forge.requests) == 2


def test_a_pause_at_the_end_of_a_run(forge: Recorder, starts: Starts) -> None:
    """The last message is sent after a short pause that the forge requests, although the run has finished."""
    forge.responses = [(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, b"")]
    underway = starts({"hub": hub(forge)}, clock=SystemClock())
    underway.find()
    underway.start()
    underway.reporting.close(0.5)
    assert len(forge.requests) == 2
    assert underway.failures == []


def test_a_long_pause_at_the_end_of_a_run(forge: Recorder, starts: Starts) -> None:
    """A command does not wait for an hour after its run, and the failure is emitted."""
    forge.responses = [(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "3000"}, b"")]
    underway = starts({"hub": hub(forge)}, clock=SystemClock())
    underway.find()
    underway.start()
    began = time.monotonic()
    underway.reporting.close(0.5)
    assert time.monotonic() - began < SOON
    assert ["not delivered in time" in failure for failure in underway.failures] == [True]


def test_a_forge_that_stays_down(forge: Recorder, starts: Starts) -> None:
    """After the fifth attempt the failure is emitted with its reason, and the next message is attempted."""
    forge.responses = [(502, {}, TOKEN.encode())] * 5
    underway = starts({"hub": hub(forge)})
    underway.find()
    underway.start()
    underway.finish()
    underway.reporting.close(10)
    assert len(forge.requests) == 6
    host = forge.url.removeprefix("http://")
    assert underway.failures == [f"reporter hub: run.started: {host} returned 502 Bad Gateway: ***"]
    (failed,) = (event for event in underway.heard if event.kind == "reporter.failed")
    assert failed.fields == {
        "reporter": "hub",
        "reason": f"run.started: {host} returned 502 Bad Gateway: ***",
    }


def test_a_rejected_token_is_not_retried(forge: Recorder, starts: Starts) -> None:
    """A response of 401 is not retried, and the event does not show the token."""
    forge.responses = [(401, {}, b'{"message": "Bad credentials"}')]
    underway = starts({"hub": hub(forge)})
    underway.find()
    underway.start()
    until(lambda: underway.failures, "a failed report")
    assert len(forge.requests) == 1
    assert "returned 401 Unauthorized: Bad credentials" in underway.failures[0]


def test_a_missing_secret(forge: Recorder, starts: Starts) -> None:
    """The failure of a missing secret has its name."""
    underway = starts({"hub": hub(forge, token="${secret:OTHER}")})
    underway.find()
    underway.start()
    until(lambda: underway.failures, "a failed report")
    assert underway.failures[0].startswith("reporter hub: run.started: secret OTHER is neither in the environment")


def test_a_hanging_forge_delays_nothing(forge: Recorder, starts: Starts) -> None:
    """A forge that hangs delays neither the run nor other reporters, and `close` waits for its timeout only."""
    other = Recorder()
    forge.released.clear()
    underway = starts({"hub": hub(forge), "own": {"type": "webhook", "url": other.url}})
    underway.find()
    began = time.monotonic()
    underway.start()
    underway.finish()
    assert time.monotonic() - began < TIMEOUT / 2
    until(lambda: len(other.requests) == 2, "two requests")
    began = time.monotonic()
    underway.reporting.close(0.2)
    assert time.monotonic() - began < TIMEOUT / 2
    assert underway.failures == ["reporter hub: the run has finished, and some messages were not delivered in time"]
    forge.released.set()
    other.shutdown()
    other.server_close()


def test_a_dropped_message_emits_nothing(forge: Recorder, starts: Starts) -> None:
    """A dropped message emits no later event, since the store may be closed."""
    forge.released.clear()
    forge.responses = [(401, {}, b"")]
    underway = starts({"hub": hub(forge)})
    underway.find()
    underway.start()
    until(lambda: len(forge.requests) == 1, "one request")
    underway.reporting.close(0)
    forge.released.set()
    until(
        lambda: not any(thread.name == "reporter hub" for thread in threading.enumerate()),
        "the thread's end",
    )
    assert len(underway.failures) == 1


def test_without_reporters_nothing_is_made(starts: Starts) -> None:
    """Without reporters, no thread is started."""
    before = set(threading.enumerate())
    underway = starts({})
    underway.start()
    assert set(threading.enumerate()) <= before
    underway.reporting.close()
