"""Filters of events: SQL and the plain meaning choose the same ones, and pages join without gaps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.event_kinds import FORMER_KINDS, EventKind
from pipeline.event_severity import SEVERITIES, Severity, kinds_named, severity_of
from pipeline.events import Event
from pipeline.store.event_filter import EventFilter
from pipeline.store.event_follower import EventFollower
from pipeline.store.store import Store
from pipeline.testing.fakes.clock import FakeClock

# One of each kind, with the names of previous versions, and runs of each outcome.
EVERY = [
    *(Event(kind, kind, "shop") for kind in (*(str(kind) for kind in EventKind), *FORMER_KINDS)),
    *(
        Event("run.finished", f"run {state} {code}", "shop", 1, {"state": state, **({"code": code} if code else {})})
        for state, code in (("succeeded", 0), ("failed", 3), ("rolled_back", 4), ("cancelled", 130), ("skipped", 0))
    ),
    Event("of.a.newer.version", "unknown", "shop"),
    Event("run.finished", "of blog", "blog", 1, {"state": "failed", "code": 3}),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "penstock.db") as store:
        for event in EVERY:
            store.events.record(event)
        yield store


def test_evaluations_without_a_change(store: Store) -> None:
    """They are left out with `changes_only`. The first evaluation of an alarm, and each change, pass."""
    for number, (was, state) in enumerate([(None, "OK"), ("OK", "OK"), ("OK", "ALARM"), ("ALARM", "ALARM")]):
        store.events.record(Event("alarm.evaluated", str(number), "tea", fields={"was": was, "state": state}))
    store.events.record(Event("run.queued", "queued", "tea"))
    found = store.events.older(EventFilter("tea", changes_only=True), None, 10)
    assert [event.message for _, event in found] == ["queued", "2", "0"]


@pytest.mark.parametrize("severity", SEVERITIES)
def test_severities(store: Store, severity: Severity) -> None:
    """The database finds the events that are at least as severe."""
    found = [event for _, event in store.events.newer(EventFilter(severity=severity), 0, 10_000)]
    everything = [event for _, event in store.events.after(None, 0, 10_000)]
    least = SEVERITIES.index(severity)
    assert found == [event for event in everything if SEVERITIES.index(severity_of(event)) >= least]
    assert severity == "info" or 0 < len(found) < len(everything)


@pytest.mark.parametrize(
    ("kind", "state", "code", "severity"),
    [
        ("run.finished", "succeeded", None, "info"),
        ("run.finished", "failed", 3, "error"),
        ("run.finished", "rolled_back", 4, "error"),
        ("run.finished", "cancelled", 130, "warning"),
        ("job.failed", None, None, "error"),
        ("build.warning", None, None, "warning"),
        ("host.lost", None, None, "warning"),
        ("target.healthy", None, None, "info"),
    ],
)
def test_severity_of_one(kind: str, state: str | None, code: int | None, severity: str) -> None:
    """A run counts by its outcome, all others by their kind."""
    assert severity_of(Event(kind, "", "shop", 1, {"state": state, "code": code})) == severity


def test_kinds(store: Store) -> None:
    """A noun stands for all its kinds, also for those that previous versions have named differently."""
    wanted = EventFilter("shop", kinds=kinds_named(["target", "run.finished"]))
    found = {event.kind for _, event in store.events.newer(wanted, 0, 10_000)}
    assert found == {kind.value for kind in EventKind if kind.startswith("target.")} | {"run.finished"}
    numbers = [number for number, event in store.events.newer(wanted, 0, 10_000) if event.kind == "target.registered"]
    assert len(numbers) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("targets", "'targets' is not a kind of event; did you mean target?"),
        ("run.finish", "'run.finish' is not a kind of event; did you mean run.finished?"),
        ("", "'' is not a kind of event; known: accessory, "),
    ],
)
def test_unknown_kinds(name: str, message: str) -> None:
    """An unknown kind is refused, with the nearest one."""
    with pytest.raises(ValueError, match=f"^{message}".replace("?", r"\?").replace(".", r"\.")):
        kinds_named(["run.started", name])


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages(store: Store, limit: int) -> None:
    """Pages have each wanted event once, newest first, also if others come meanwhile."""
    wanted, found, before = EventFilter("shop", severity="warning"), list[int](), None
    expected = [number for number, _ in store.events.newer(wanted, 0, 10_000)]
    while page := store.events.older(wanted, before, limit):
        found += [number for number, _ in page]
        before = found[-1]
        store.events.record(Event("host.lost", "late", "shop"))
    assert found == expected[::-1]


def test_a_run(store: Store) -> None:
    """The events of a run are those of its pipeline."""
    assert len(store.events.older(EventFilter("blog", 1), None, 9)) == 1
    assert len(store.events.older(EventFilter("shop", 1), None, 9)) == 5


def test_a_follower_with_a_filter(store: Store) -> None:
    """It gets the wanted events from now on, and reads the others once."""
    last = store.events.last_id()
    assert last == len(EVERY)
    follower = EventFollower(store, FakeClock(), last, wanted=EventFilter("shop", kinds=kinds_named(["host"])))
    assert follower.poll() == []
    for kind in ("host.lost", "host.lost", "serve.started"):
        store.events.record(Event(kind, kind, "shop"))
    assert [number for number, _ in follower.poll()] == [last + 1, last + 2]
    assert follower.poll() == []
    store.events.record(Event("host.returned", "back", "shop"))
    assert [number for number, _ in follower.poll()] == [last + 4]
