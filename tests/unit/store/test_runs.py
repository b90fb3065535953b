"""Runs and their stages."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.store.queue import RunRequest
from pipeline.store.records import RunOptions, RunState, StageState, Trigger
from pipeline.store.store import Store
from tests.support.started_runs import begin_run


def test_runs_are_numbered_per_pipeline(store: Store) -> None:
    """Two pipelines have a run 1 each."""
    assert [begin_run(store, name).number for name in ("shop", "shop", "blog", "shop")] == [1, 2, 1, 3]


def test_a_finished_run_ends_its_running_stage(store: Store) -> None:
    """The run keeps the reason, and stages that were over keep their state."""
    run = begin_run(store, "shop", requested="main")
    store.queue.enter("shop", run.number, "source")
    store.runs.finish_stage("shop", run.number, "source", StageState.SUCCEEDED, "abc1234 on main")
    store.queue.enter("shop", run.number, "build")
    store.runs.finish("shop", run.number, RunState.INTERRUPTED, "killed")
    ended = store.runs.get("shop", run.number)
    assert ended is not None
    assert (ended.state, ended.reason, ended.pid) == (RunState.INTERRUPTED, "killed", os.getpid())
    assert [(s.name, s.state, s.summary) for s in store.runs.stages("shop", run.number)] == [
        ("source", StageState.SUCCEEDED, "abc1234 on main"),
        ("build", StageState.INTERRUPTED, ""),
    ]
    assert store.runs.running("shop") == []


@pytest.mark.parametrize("hours", [1, -1])
def test_durations_do_not_depend_on_the_wall_clock(store: Store, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """If the clock is set during a run, the run and its stage have the durations that they had."""
    run = begin_run(store, "shop")
    store.queue.enter("shop", run.number, "source")
    set_clock = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
    monkeypatch.setattr("pipeline.store.runs.now", lambda: set_clock)
    store.runs.finish_stage("shop", run.number, "source", StageState.SUCCEEDED, "")
    (stage,) = store.runs.stages("shop", run.number)
    assert timedelta(0) < stage.duration < timedelta(minutes=1)
    store.runs.finish("shop", run.number, RunState.SUCCEEDED)
    ended = store.queue.run("shop", run.number)
    assert stage.duration < ended.duration < timedelta(minutes=1)


def test_a_run_that_a_previous_version_stored_has_no_negative_duration(store: Store) -> None:
    """It has only wall times, which may be of a clock that was set back."""
    run = begin_run(store, "shop")
    earlier = run.started_at - timedelta(hours=1)
    assert replace(run, started=None, finished_at=earlier).duration == timedelta(0)


def test_a_run_keeps_the_commit_that_source_found(store: Store) -> None:
    """The commit is stored for the given run only."""
    for _ in range(2):
        begin_run(store, "shop")
    store.runs.set_revision("shop", 2, sha="a" * 40, ref="main", author="Ada", subject="Add carts")
    assert [(r.sha, r.ref, r.author, r.subject) for r in store.runs.latest("shop")] == [
        ("a" * 40, "main", "Ada", "Add carts"),
        (None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("options", "stored"),
    [
        (RunOptions(), "{}"),
        (RunOptions(force=True), '{"force": true}'),
        (RunOptions(configuration="commit"), '{"configuration": "commit"}'),
        (RunOptions("commit", {}), '{"configuration": "commit", "parameters": {}}'),
        (
            RunOptions("file", {"replicas": "3"}, True),
            '{"configuration": "file", "parameters": {"replicas": "3"}, "force": true}',
        ),
    ],
)
def test_options_keep_their_stored_form(options: RunOptions, stored: str, store: Store, tmp_path: Path) -> None:
    """The JSON is the one that version 0.1.0 writes and reads."""
    store.queue.put("shop", [RunRequest(Trigger.COMMAND, options=options)])
    with closing(sqlite3.connect(tmp_path / "penstock.db")) as connection:
        assert connection.execute("SELECT options FROM runs").fetchall() == [(stored,)]
    assert store.queue.run("shop", 1).options == options


def test_options_of_a_newer_version_are_ignored(store: Store, tmp_path: Path) -> None:
    """Unknown options are ignored, and the known ones are read."""
    stored = '{"parameters": {"a": "b"}, "strategy": "canary"}'
    store.queue.put("shop", [RunRequest(Trigger.COMMAND)])
    with closing(sqlite3.connect(tmp_path / "penstock.db")) as connection, connection:
        connection.execute("UPDATE runs SET options=?", (stored,))
    assert store.queue.run("shop", 1).options == RunOptions(parameters={"a": "b"})
