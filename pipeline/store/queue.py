"""The queue: runs that wait, the order in which they start, and their admission to stages.

Every method is one transaction that takes the write lock first. So any number of processes can work on one queue: each
run starts once, and two runs are never in Deploy together.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from pipeline.base.errors import ConfigError
from pipeline.base.printable import has_controls
from pipeline.store.admission import Admission, begin_stage, note_wait, obstacle_of
from pipeline.store.database import Database
from pipeline.store.order import Mode, next_run
from pipeline.store.records import ApprovalDecision, Run, RunKind, RunOptions, RunState, Trigger
from pipeline.store.refs import head, set_head
from pipeline.store.rows import next_number, now, run_from_row
from pipeline.store.run_actors import clear_cancelled_by, set_cancelled_by, set_requested_by
from pipeline.store.run_times import QUEUE, RUN, begin_part, end_parts
from pipeline.store.superseding import (
    entries,
    is_schedule_queued,
    stored_run,
    supersede,
    supersede_by_newer,
    supersede_older,
    take_place,
)

STAGES = ("source", "build", "deploy")
_UNFINISHED = "state IN ('queued', 'running')"


@dataclass(frozen=True)
class RunRequest:
    """A request for a run.

    `requested` is a branch, tag, commit or release; None means the branch of the pipeline. With a `skip_reason` the
    run is stored as skipped and never starts. `by` is the user who requests it, None for a trigger.
    """

    trigger: Trigger
    requested: str | None = None
    kind: RunKind = RunKind.RUN
    sha: str | None = None
    ref: str | None = None
    author: str | None = None
    subject: str | None = None
    options: RunOptions = field(default_factory=RunOptions)
    retry_of: int | None = None
    skip_reason: str = ""
    by: str | None = None

    def __post_init__(self) -> None:
        if self.requested is not None and has_controls(self.requested):
            raise ConfigError(f"a branch, tag or commit must not contain control characters: {self.requested!r}")


class RunQueue:
    """The runs of all pipelines that are not over. Safe to use from any thread. Raises `StoreFault`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # Adding runs

    def put(
        self,
        pipeline: str,
        requests: Sequence[RunRequest],
        *,
        mode: Mode = "superseded",
        heads: Mapping[str, tuple[str | None, str]] | None = None,
    ) -> list[Run]:
        """Queue runs, in order. In the mode `superseded` each run replaces the older ones that `supersedes` names.

        A scheduled run is left out while one of an earlier due time is queued, since both would run the same commit.
        Otherwise a schedule whose interval is shorter than a run would fill the queue.

        `heads` maps refs to the commits they moved from and to. If one of them is not at its old commit, another
        process has queued its runs: nothing is written, and the list is empty.
        """
        with self._db.transaction() as db:
            moves = heads or {}
            if any(head(db, pipeline, ref) != old for ref, (old, _) in moves.items()):
                return []
            for ref, (_, new) in moves.items():
                set_head(db, pipeline, ref, new)
            numbers = [
                _insert(db, pipeline, r) for r in requests if not is_schedule_queued(db, pipeline, r.trigger, r.options)
            ]
            for number in numbers if mode == "superseded" else ():
                supersede_older(db, pipeline, number)
            return [stored_run(db, pipeline, number) for number in numbers]

    def begin(self, pipeline: str, request: RunRequest, mode: Mode) -> Run | None:
        """Start a run of the caller immediately, outside the queue. None if queued runs have to start first.

        The caller holds the pipeline's lock, so no queued run can start before it ends. A rollback passes queued runs
        of commits, and replaces queued rollbacks: the latest one counts.
        """
        with self._db.transaction() as db:
            queued = [entry for entry in entries(db, pipeline) if entry.state is RunState.QUEUED]
            if request.kind is RunKind.RUN and any(mode != "superseded" or e.kind is not RunKind.RUN for e in queued):
                return None
            number = _insert(db, pipeline, request)
            db.execute(
                "UPDATE runs SET state='running', queued_at=NULL, pid=?, attempts=1 WHERE pipeline=? AND number=?",
                (os.getpid(), pipeline, number),
            )
            begin_part(db, pipeline, number, RUN)
            if request.kind is RunKind.RUN and mode == "superseded":
                supersede_older(db, pipeline, number)
            elif request.kind in (RunKind.ROLLBACK, RunKind.DOWN):
                supersede(db, pipeline, [e.number for e in queued if e.kind is not RunKind.RUN], number)
            return stored_run(db, pipeline, number)

    # Executing runs

    def claim(self, pipeline: str, mode: Mode) -> Run | None:
        """Start the next run that may start now, for the caller to execute. None if there is none."""
        with self._db.transaction() as db:
            number = next_run(entries(db, pipeline), mode)
            if number is None:
                return None
            db.execute(
                "UPDATE runs SET state='running', started_at=?, pid=?, attempts=attempts+1 "
                "WHERE pipeline=? AND number=?",
                (now(), os.getpid(), pipeline, number),
            )
            end_parts(db, pipeline, number, QUEUE)
            begin_part(db, pipeline, number, RUN)
            return stored_run(db, pipeline, number)

    def set_commit(
        self, pipeline: str, number: int, *, sha: str, ref: str, author: str, subject: str, mode: Mode
    ) -> list[Run]:
        """Store the commit that a run has found. Return the queued runs that are superseded now.

        In the mode `superseded`, a run whose commit was unknown takes its place among the others: it replaces older
        runs, or a newer one replaces it.
        """
        with self._db.transaction() as db:
            known = stored_run(db, pipeline, number).sha
            db.execute(
                "UPDATE runs SET sha=?, ref=?, author=?, subject=? WHERE pipeline=? AND number=?",
                (sha, ref, author, subject, pipeline, number),
            )
            return [] if known or mode != "superseded" else take_place(db, pipeline, number)

    def resolve(self, pipeline: str, number: int, sha: str, mode: Mode) -> list[Run]:
        """Store the commit of a run that is queued without one. Return the queued runs that are superseded now.

        As in `set_commit`, these may be older runs, or the run itself.
        """
        with self._db.transaction() as db:
            cursor = db.execute(
                "UPDATE runs SET sha=? WHERE pipeline=? AND number=? AND sha IS NULL AND state='queued'",
                (sha, pipeline, number),
            )
            return take_place(db, pipeline, number) if cursor.rowcount and mode == "superseded" else []

    def enter(self, pipeline: str, number: int, stage: str) -> Admission:
        """Start a stage of a run, or return what blocks it.

        Runs enter Deploy in the order of their numbers, which is that of the commits: all older runs must be over.
        """
        with self._db.transaction() as db:
            run = stored_run(db, pipeline, number)
            if run.superseded_by:
                return Admission(superseded_by=run.superseded_by)
            waits_for = obstacle_of(db, run, stage)
            note_wait(db, run, waits_for or None)
            if not waits_for:
                begin_stage(db, pipeline, number, stage)
            return Admission(entered=not waits_for, waits_for=waits_for)

    def await_approval(self, pipeline: str, number: int) -> Run:
        """Mark a run as waiting for approval, and return it as it is now. It may hold a decision already."""
        with self._db.transaction() as db:
            run = stored_run(db, pipeline, number)
            note_wait(db, run, None if run.approval else "approval")
            return stored_run(db, pipeline, number)

    def record_decision(self, pipeline: str, number: int, decision: ApprovalDecision) -> Run:
        """Store the decision about a run, and return the run as it is now. The first decision counts."""
        text = json.dumps({**asdict(decision), "at": decision.at.isoformat()})
        with self._db.transaction() as db:
            db.execute(
                "UPDATE runs SET approval=? WHERE pipeline=? AND number=? AND approval IS NULL",
                (text, pipeline, number),
            )
            return stored_run(db, pipeline, number)

    # Ending and requeueing runs

    def cancel(self, pipeline: str, number: int, reason: str = "cancelled", *, by: str | None = None) -> Run:
        """Cancel a run that is queued, and return it as it is now. Its worker stops a run that has started.

        Stores the user who cancels it, also if it has started. The first one counts.
        """
        with self._db.transaction() as db:
            if by is not None:
                set_cancelled_by(db, pipeline, number, by)
                reason = f"{reason} by {stored_run(db, pipeline, number).cancelled_by}"
            db.execute(
                "UPDATE runs SET state='cancelled', reason=?, finished_at=? "
                "WHERE pipeline=? AND number=? AND state='queued'",
                (reason, now(), pipeline, number),
            )
            return stored_run(db, pipeline, number)

    def withdraw_cancel(self, pipeline: str, number: int) -> None:
        """Forget who cancels a run, because no worker can stop it now."""
        with self._db.transaction() as db:
            clear_cancelled_by(db, pipeline, number)

    def requeue(self, pipeline: str, number: int, mode: Mode, *, counted: bool = True) -> Run:
        """Queue a run again whose worker died or stopped. Only after a death the attempt is `counted`.

        From now on, a run that a command has executed itself is as one from the queue.
        If a newer run has replaced it meanwhile, the run is superseded, unless it continues an interrupted deployment.
        """
        with self._db.transaction() as db:
            db.execute("DELETE FROM stages WHERE pipeline=? AND run=?", (pipeline, number))
            db.execute(
                "UPDATE runs SET state='queued', waits_for=NULL, attempts=attempts-?, queued_at=coalesce(queued_at, ?) "
                "WHERE pipeline=? AND number=?",
                (0 if counted else 1, now(), pipeline, number),
            )
            clear_cancelled_by(db, pipeline, number)
            if mode == "superseded":
                supersede_by_newer(db, pipeline, number)
            return stored_run(db, pipeline, number)

    def run(self, pipeline: str, number: int) -> Run:
        """Return one run as it is now. It must exist."""
        with self._db.transaction() as db:
            return stored_run(db, pipeline, number)

    def unfinished(self, pipeline: str) -> list[Run]:
        """Return all runs that are not over, queued and running, oldest first."""
        rows = self._db.rows(f"SELECT * FROM timed_runs WHERE pipeline=? AND {_UNFINISHED} ORDER BY number", pipeline)  # noqa: S608
        return [run_from_row(row) for row in rows]

    def waiting_pipelines(self) -> list[str]:
        """Return the pipelines that have a queued run."""
        rows = self._db.rows("SELECT DISTINCT pipeline FROM runs WHERE state=?", RunState.QUEUED)
        return [row["pipeline"] for row in rows]

    def of_commits(self, commits: Sequence[str]) -> list[Run]:
        """Return the latest run of each of these commits and each ref, in every pipeline."""
        marks = ",".join("?" * len(commits))
        sql = (
            f"SELECT *, max(number) FROM timed_runs WHERE sha IN ({marks}) GROUP BY pipeline, sha, ref ORDER BY number"  # noqa: S608
        )
        rows = self._db.rows(sql, *commits)
        return [self.run(row["pipeline"], row["number"]) for row in rows]

    def superseded_by(self, pipeline: str, number: int) -> list[Run]:
        """Return the runs that a run replaced."""
        rows = self._db.rows(
            "SELECT * FROM timed_runs WHERE pipeline=? AND superseded_by=? ORDER BY number", pipeline, number
        )
        return [run_from_row(row) for row in rows]


def _insert(db: sqlite3.Connection, pipeline: str, request: RunRequest) -> int:
    number, moment = next_number(db, "runs", pipeline), now()
    state = RunState.SKIPPED if request.skip_reason else RunState.QUEUED
    values = {
        "pipeline": pipeline,
        "number": number,
        "kind": request.kind,
        "state": state,
        "requested": request.requested,
        "sha": request.sha,
        "ref": request.ref,
        "author": request.author,
        "subject": request.subject,
        "reason": request.skip_reason,
        "started_at": moment,
        "finished_at": moment if request.skip_reason else None,
        "pid": 0,
        "trigger": request.trigger,
        "queued_at": moment,
        "options": json.dumps(request.options.to_json()),
        "retry_of": request.retry_of,
        "attempts": 0,
    }
    db.execute(f"INSERT INTO runs ({','.join(values)}) VALUES ({','.join('?' * len(values))})", tuple(values.values()))  # noqa: S608
    if request.by is not None:
        set_requested_by(db, pipeline, number, request.by)
    begin_part(db, pipeline, number, QUEUE)
    return number
