"""Fixtures: a server in place of a forge, and reports of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.events import Event
from pipeline.reporters import Report
from pipeline.store.records import RunKind, RunState
from pipeline.store.store import Store
from tests.support.started_runs import begin_run
from tests.unit.reporters.configuration import SHA
from tests.unit.reporters.recorder import Recorder


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach loopback directly, without a proxy of the environment."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def forge() -> Iterator[Recorder]:
    server = Recorder()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "penstock.db") as store:
        yield store


@pytest.fixture
def report(store: Store) -> Callable[..., Report]:
    """Return a report of a run in the state of its event."""

    def report(state: RunState, kind: RunKind = RunKind.RUN, reason: str = "") -> Report:
        run = begin_run(store, "shop", kind)
        store.runs.set_revision("shop", run.number, sha=SHA, ref="main", author="Ada", subject="Add <carts> & more")
        words = {RunState.QUEUED: "queued", RunState.RUNNING: "started", RunState.SUPERSEDED: "superseded"}
        if state.over:
            store.runs.finish("shop", run.number, state, reason)
        found = store.runs.get("shop", run.number)
        assert found is not None
        fields = {"state": state, "reason": reason}
        message = f"run {run.number}: {state.replace('_', ' ')}"
        return Report(Event(f"run.{words.get(state, 'finished')}", message, "shop", run.number, fields), found)

    return report
