"""Heads of refs, and the patterns of scans."""

from __future__ import annotations

from pipeline.store.queue import RunRequest
from pipeline.store.records import Trigger
from pipeline.store.store import Store

PIPELINE = "shop"
MAIN, TAG = "refs/heads/main", "refs/tags/v1"


def commit(sha: str = "a") -> RunRequest:
    return RunRequest(Trigger.WATCH, sha=sha * 40, ref="main")


def test_a_move_of_a_ref_is_queued_once(store: Store) -> None:
    """Of two processes that see it at the same time, the second queues nothing."""
    moved = {MAIN: (None, "a" * 40)}
    assert len(store.queue.put(PIPELINE, [commit()], heads=moved)) == 1
    assert store.queue.put(PIPELINE, [commit()], heads=moved) == []
    assert store.refs.heads(PIPELINE) == {MAIN: "a" * 40}
    assert len(store.runs.latest(PIPELINE)) == 1


def test_refs_move_together_or_not_at_all(store: Store) -> None:
    """If another process has moved one of two refs, the other one stays: its commit has no run yet."""
    store.queue.put(PIPELINE, [commit()], heads={TAG: (None, "a" * 40)})
    assert store.queue.put(PIPELINE, [commit("b")], heads={MAIN: (None, "b" * 40), TAG: (None, "b" * 40)}) == []
    assert store.refs.heads(PIPELINE) == {TAG: "a" * 40}


def test_a_deleted_ref_has_no_head(store: Store) -> None:
    """A ref that was deleted and comes back has only new commits."""
    store.queue.put(PIPELINE, [], heads={MAIN: (None, "a" * 40), TAG: (None, "b" * 40)})
    store.refs.delete_head(PIPELINE, MAIN)
    assert store.refs.heads(PIPELINE) == {TAG: "b" * 40}
    assert store.queue.put(PIPELINE, [commit()], heads={MAIN: (None, "a" * 40)})


def test_the_patterns_of_the_last_scan_are_stored(store: Store) -> None:
    """The patterns are stored per pipeline, and there are none before the first scan."""
    assert store.refs.patterns(PIPELINE) == []
    store.refs.set_patterns(PIPELINE, [MAIN])
    store.refs.set_patterns(PIPELINE, [MAIN, "refs/tags/*"])
    assert store.refs.patterns(PIPELINE) == [MAIN, "refs/tags/*"]
    assert store.refs.patterns("blog") == []
