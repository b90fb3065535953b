"""The queue: runs that wait, which of them may begin, and which may go on to its next stage.

Every method is one transaction that takes the write lock first, so that any number of processes may ask at once:
a run begins once, and no two are in Deploy together.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipeline.store.database import Database
from pipeline.store.records import Approval, Run, RunKind, RunState, StageState, Trigger
from pipeline.store.rows import next_number, now, run_of

Mode = Literal["superseded", "queued", "parallel"]
STAGES = ("source", "build", "deploy")
# How many runs of one pipeline are worked on at once in the mode `parallel`.
AT_ONCE = 4
_UNFINISHED = "state IN ('queued', 'running')"
# A run that is being deployed is past the point where a newer one takes its place.
_DEPLOYS = "EXISTS (SELECT 1 FROM stages s WHERE s.pipeline=runs.pipeline AND s.run=runs.number AND s.name='deploy')"


@dataclass(frozen=True)
class Request:
    """A run that is asked for. `requested` is a branch, tag, commit or release; None: the pipeline's own branch.

    With `skipped`, the reason why it is not run, it is only written down.
    """

    trigger: Trigger
    requested: str | None = None
    kind: RunKind = RunKind.RUN
    sha: str | None = None
    ref: str | None = None
    author: str | None = None
    subject: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    retry_of: int | None = None
    skipped: str = ""


@dataclass(frozen=True)
class Passage:
    """Whether a run may enter a stage: entered, given up for a newer run, or what it has to wait for."""

    entered: bool = False
    superseded_by: int | None = None
    waits_for: str = ""


class RunQueue:
    """The runs of all pipelines that are not over. Raises `StoreFault`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # Coming

    def put(
        self,
        pipeline: str,
        requests: Sequence[Request],
        *,
        mode: Mode = "superseded",
        heads: Mapping[str, tuple[str | None, str]] | None = None,
    ) -> list[Run]:
        """Queue runs, in order. In the mode `superseded` a run takes the place of the older ones that wait or build.

        `heads` are refs with the commits they moved from and to: all of it is written, or nothing, where somebody else
        has seen a move before.
        """
        with self._db.transaction() as db:
            for ref, (old, new) in (heads or {}).items():
                if _head(db, pipeline, ref) != old:
                    return []
                db.execute("INSERT OR REPLACE INTO heads VALUES (?,?,?)", (pipeline, ref, new))
            numbers = [_insert(db, pipeline, request) for request in requests]
            for number, request in zip(numbers, requests, strict=True):
                if mode == "superseded" and request.kind is RunKind.RUN and not request.skipped:
                    _supersede_older(db, pipeline, number)
            return [_run(db, pipeline, number) for number in numbers]

    def heads(self, pipeline: str) -> dict[str, str]:
        """The commit of each ref whose coming was seen last."""
        rows = self._db.rows("SELECT ref, sha FROM heads WHERE pipeline=?", pipeline)
        return {row["ref"]: row["sha"] for row in rows}

    def forget_head(self, pipeline: str, ref: str) -> None:
        """A ref is gone. If it comes back, all of it is new."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM heads WHERE pipeline=? AND ref=?", (pipeline, ref))

    def patterns(self, pipeline: str) -> list[str]:
        """The patterns of refs that the last look looked for; none before the first."""
        rows = self._db.rows("SELECT patterns FROM watched WHERE pipeline=?", pipeline)
        return list(json.loads(rows[0]["patterns"])) if rows else []

    def keep_patterns(self, pipeline: str, patterns: Sequence[str]) -> None:
        """A look has looked for these."""
        with self._db.transaction() as db:
            db.execute("INSERT OR REPLACE INTO watched VALUES (?,?)", (pipeline, json.dumps(patterns)))

    def begin(self, pipeline: str, request: Request, mode: Mode) -> Run | None:
        """A run that its caller begins at once, out of the queue. None when others wait that it must not overtake."""
        with self._db.transaction() as db:
            number = next_number(db, "runs", pipeline)
            if mode == "superseded" and request.kind is RunKind.RUN:
                _supersede_older(db, pipeline, number)
            waiting = "SELECT 1 FROM runs WHERE pipeline=? AND state='queued' AND kind='run'"
            if request.kind is RunKind.RUN and db.execute(waiting, (pipeline,)).fetchone():
                return None
            _insert(db, pipeline, request)
            db.execute(
                "UPDATE runs SET state='running', queued_at=NULL, pid=?, attempts=1 WHERE pipeline=? AND number=?",
                (os.getpid(), pipeline, number),
            )
            return _run(db, pipeline, number)

    # Going on

    def claim(self, pipeline: str, mode: Mode) -> Run | None:
        """The next run that may begin now, which is the caller's from here on."""
        with self._db.transaction() as db:
            rows = db.execute(
                f"SELECT *, {_DEPLOYS} AS deploys FROM runs WHERE pipeline=? AND {_UNFINISHED} ORDER BY number",  # noqa: S608
                (pipeline,),
            ).fetchall()
            running = [row for row in rows if row["state"] == RunState.RUNNING]
            first = next((row for row in rows if row["state"] == RunState.QUEUED), None)
            if first is None or not _may_begin(first, running, mode):
                return None
            db.execute(
                "UPDATE runs SET state='running', started_at=?, pid=?, attempts=attempts+1 "
                "WHERE pipeline=? AND number=?",
                (now(), os.getpid(), pipeline, first["number"]),
            )
            return _run(db, pipeline, first["number"])

    def enter(self, pipeline: str, number: int, stage: str) -> Passage:
        """Begin a stage of a run if nothing is in its way; otherwise say what is.

        Deploy is entered in the order of the runs, which is that of the commits: not before each older one is over.
        """
        with self._db.transaction() as db:
            run = _run(db, pipeline, number)
            if run.superseded_by:
                return Passage(superseded_by=run.superseded_by)
            waits_for = _obstacle(db, run, stage)
            _note_wait(db, run, waits_for or None)
            if not waits_for:
                _begin_stage(db, pipeline, number, stage)
            return Passage(entered=not waits_for, waits_for=waits_for)

    def await_approval(self, pipeline: str, number: int) -> Run:
        """The run waits for somebody to agree; the run as it is now, perhaps with an answer."""
        with self._db.transaction() as db:
            run = _run(db, pipeline, number)
            _note_wait(db, run, None if run.approval else "approval")
            return _run(db, pipeline, number)

    def decide(self, pipeline: str, number: int, approval: Approval) -> Run:
        """Somebody agrees, or does not. The first answer counts; the run as it is now."""
        text = json.dumps({**asdict(approval), "at": approval.at.isoformat()})
        with self._db.transaction() as db:
            db.execute(
                "UPDATE runs SET approval=? WHERE pipeline=? AND number=? AND approval IS NULL",
                (text, pipeline, number),
            )
            return _run(db, pipeline, number)

    # Not going on

    def cancel(self, pipeline: str, number: int, reason: str) -> Run:
        """Give up a run that waits in the queue; one that has begun is for its worker to stop. The run as it is now."""
        with self._db.transaction() as db:
            db.execute(
                "UPDATE runs SET state='cancelled', reason=?, finished_at=? "
                "WHERE pipeline=? AND number=? AND state='queued'",
                (reason, now(), pipeline, number),
            )
            return _run(db, pipeline, number)

    def requeue(self, pipeline: str, number: int, mode: Mode, *, counted: bool = True) -> Run:
        """Put back a run whose worker died, or ended in order: then it is not `counted` as an attempt.

        Where a newer one has taken its place meanwhile, it is superseded.
        """
        with self._db.transaction() as db:
            db.execute("DELETE FROM stages WHERE pipeline=? AND run=?", (pipeline, number))
            db.execute(
                "UPDATE runs SET state='queued', waits_for=NULL, attempts=attempts-? WHERE pipeline=? AND number=?",
                (0 if counted else 1, pipeline, number),
            )
            newer = db.execute(
                "SELECT max(number) FROM runs WHERE pipeline=? AND number>? AND kind='run' "
                "AND state IN ('queued', 'running', 'succeeded')",
                (pipeline, number),
            ).fetchone()[0]
            if newer and mode == "superseded":
                _supersede_older(db, pipeline, newer)
            return _run(db, pipeline, number)

    def run(self, pipeline: str, number: int) -> Run:
        """One run as it is now. It must be there."""
        with self._db.transaction() as db:
            return _run(db, pipeline, number)

    def unfinished(self, pipeline: str) -> list[Run]:
        """All runs that are not over, oldest first: those that wait, and those that are worked on."""
        rows = self._db.rows(f"SELECT * FROM runs WHERE pipeline=? AND {_UNFINISHED} ORDER BY number", pipeline)  # noqa: S608
        return [run_of(row) for row in rows]

    def of_commits(self, commits: Sequence[str]) -> list[Run]:
        """The latest run of each of these commits, of whatever pipeline."""
        marks = ",".join("?" * len(commits))
        sql = f"SELECT *, max(number) FROM runs WHERE sha IN ({marks}) GROUP BY pipeline, sha ORDER BY number"  # noqa: S608
        rows = self._db.rows(sql, *commits)
        return [self.run(row["pipeline"], row["number"]) for row in rows]

    def superseded_by(self, pipeline: str, number: int) -> list[Run]:
        """The runs that were given up for another."""
        rows = self._db.rows(
            "SELECT * FROM runs WHERE pipeline=? AND superseded_by=? ORDER BY number", pipeline, number
        )
        return [run_of(row) for row in rows]


def _head(db: sqlite3.Connection, pipeline: str, ref: str) -> str | None:
    row = db.execute("SELECT sha FROM heads WHERE pipeline=? AND ref=?", (pipeline, ref)).fetchone()
    return row["sha"] if row else None


def _insert(db: sqlite3.Connection, pipeline: str, request: Request) -> int:
    number, moment = next_number(db, "runs", pipeline), now()
    state = RunState.SKIPPED if request.skipped else RunState.QUEUED
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
        "reason": request.skipped,
        "started_at": moment,
        "finished_at": moment if request.skipped else None,
        "pid": 0,
        "trigger": request.trigger,
        "queued_at": moment,
        "options": json.dumps(dict(request.options)),
        "retry_of": request.retry_of,
        "attempts": 0,
    }
    db.execute(f"INSERT INTO runs ({','.join(values)}) VALUES ({','.join('?' * len(values))})", tuple(values.values()))  # noqa: S608
    return number


def _supersede_older(db: sqlite3.Connection, pipeline: str, number: int) -> None:
    """Those that wait are over at once; those that are worked on are told, and end by themselves."""
    older = f"pipeline=? AND number<? AND kind='run' AND {_UNFINISHED} AND NOT {_DEPLOYS}"
    db.execute(f"UPDATE runs SET superseded_by=? WHERE {older}", (number, pipeline, number))  # noqa: S608
    db.execute(
        "UPDATE runs SET state='superseded', reason=?, finished_at=? "
        "WHERE pipeline=? AND state='queued' AND superseded_by=?",
        (f"superseded by run {number}", now(), pipeline, number),
    )


def _may_begin(first: sqlite3.Row, running: list[sqlite3.Row], mode: Mode) -> bool:
    # What takes a release out of service, or puts a former one back, meets nothing else.
    if any(row["kind"] != RunKind.RUN for row in running):
        return False
    if first["kind"] != RunKind.RUN:
        # But those that wait for somebody: in a freeze above all it must be possible to go back.
        return all(row["waits_for"] for row in running)
    if mode == "parallel":
        return len(running) < AT_ONCE
    if mode == "queued":
        return not running
    return all(row["deploys"] for row in running)


def _obstacle(db: sqlite3.Connection, run: Run, stage: str) -> str:
    closed = db.execute("SELECT reason FROM transitions WHERE pipeline=? AND stage=?", (run.pipeline, stage)).fetchone()
    if closed and run.kind is RunKind.RUN:
        return f"the transition into {stage}, closed: {closed['reason']}"
    if stage != "deploy":
        return ""
    unfinished = db.execute(
        f"SELECT number, waits_for, {_DEPLOYS} AS deploys FROM runs "  # noqa: S608
        f"WHERE pipeline=? AND number<>? AND {_UNFINISHED} ORDER BY number",
        (run.pipeline, run.number),
    ).fetchall()
    for other in unfinished:
        # What goes back, or takes down, passes by those that wait for somebody, and they wait for it.
        older = other["number"] < run.number and (run.kind is RunKind.RUN or not other["waits_for"])
        if older or other["deploys"]:
            return f"run {other['number']}"
    return ""


def _note_wait(db: sqlite3.Connection, run: Run, waits_for: str | None) -> None:
    # Asked again and again: what stays as it is, is not written again.
    if run.waits_for != waits_for:
        db.execute("UPDATE runs SET waits_for=? WHERE pipeline=? AND number=?", (waits_for, run.pipeline, run.number))


def _begin_stage(db: sqlite3.Connection, pipeline: str, run: int, name: str) -> None:
    db.execute(
        "INSERT INTO stages (pipeline, run, position, name, state, started_at) SELECT ?,?,count(*),?,?,? "
        "FROM stages WHERE pipeline=? AND run=?",
        (pipeline, run, name, StageState.RUNNING, now(), pipeline, run),
    )


def _run(db: sqlite3.Connection, pipeline: str, number: int) -> Run:
    return run_of(db.execute("SELECT * FROM runs WHERE pipeline=? AND number=?", (pipeline, number)).fetchone())
