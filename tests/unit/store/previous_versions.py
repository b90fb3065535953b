"""Databases of earlier versions, and the statements of the version before the current one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import make_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Self

BEGAN, ENDED = "2026-01-02T03:04:05+00:00", "2026-01-02T03:05:05+00:00"
_SHA = "a" * 40
_SPEC = '{"image_id": "sha256:1", "deploy": {"target_group": "web", "replicas": 3}}'
# The rows that each version adds.
_ROWS = {
    1: f"""
INSERT INTO pipelines VALUES ('shop', '/srv/shop/pipeline.yaml');
INSERT INTO runs VALUES
  ('shop', 1, 'run', 'succeeded', 'main', '{_SHA}', 'main', 'Ada', 'Add carts', 1, '', '{BEGAN}', '{ENDED}', 100),
  ('shop', 2, 'rollback', 'running', '1', NULL, NULL, NULL, NULL, 2, '', '{BEGAN}', NULL, 101);
INSERT INTO stages VALUES
  ('shop', 1, 0, 'source', 'succeeded', 'aaaaaaa on main', '{BEGAN}', '{ENDED}'),
  ('shop', 2, 0, 'deploy', 'running', '', '{BEGAN}', NULL);
INSERT INTO releases VALUES
  ('shop', 1, 1, '{_SHA}', 'Add carts', 'sha256:1', 'shop:1', '{_SPEC}', 'active', '{BEGAN}'),
  ('shop', 2, 2, '{_SHA}', 'Add carts', 'sha256:2', 'shop:2', '{_SPEC}', 'pending', '{BEGAN}');
INSERT INTO deployments VALUES
  (1, 'shop', 1, NULL, 1, 'succeeded', '', '{BEGAN}', '{ENDED}'),
  (2, 'shop', 2, 1, 2, 'running', '', '{BEGAN}', NULL);
INSERT INTO events VALUES (7, 'shop', 1, 'target.healthy', 'web-1 is healthy', '{{"target": "web-1"}}', '{BEGAN}');
INSERT INTO images VALUES ('shop', 'built:1', 'sha256:1')""",
    2: f"""
INSERT INTO runs VALUES
  ('shop', 3, 'run', 'running', NULL, '{_SHA}', 'main', 'Ada', 'Fix carts', NULL, '', '{BEGAN}', NULL, 102,
   'hook', '{BEGAN}', '{{"configuration": "commit", "parameters": {{}}}}', NULL, 1, 2, NULL,
   '{{"granted": true, "by": "ann", "comment": "", "at": "{ENDED}"}}', 'sha256:3');
INSERT INTO heads VALUES ('shop', 'refs/heads/main', '{_SHA}');
INSERT INTO transitions VALUES ('shop', 'deploy', 'audit', '{BEGAN}');
INSERT INTO deliveries VALUES ('d1', 'shop', strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))""",
    3: """
INSERT INTO watched VALUES ('shop', '["refs/heads/*"]')""",
}


def create_database(path: Path, version: int) -> None:
    """Create a database of an earlier version, with rows."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        for number in range(1, version + 1):
            db.executescript(files("pipeline.store").joinpath(f"migrations/{number:04}.sql").read_text())
            db.executescript(_ROWS[number])
        db.execute(f"PRAGMA user_version={version}")


def content(path: Path, tables: set[str] | None = None) -> dict[str, list[tuple[object, ...]]]:
    """Return the version, the schema, and the rows of each table; optionally of some tables only."""
    with closing(sqlite3.connect(path)) as db:
        schema = db.execute("SELECT tbl_name, type, name, sql FROM sqlite_master ORDER BY name").fetchall()
        names = tables or {name for name, kind, *_ in schema if kind != "view"}
        found: dict[str, list[tuple[object, ...]]] = {
            name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names
        }
        found["schema"] = [row for row in schema if row[0] in names]
        if tables is None:
            found["version"] = db.execute("PRAGMA user_version").fetchall()
        return found


_RUN = (
    "pipeline number kind state requested sha ref author subject release reason started_at finished_at pid trigger "
    "queued_at options superseded_by retry_of attempts waits_for approval image_id"
)
_RELEASE = "pipeline number run sha subject image_id image_tag spec state created_at"
_DEPLOYMENT = "id pipeline run from_release to_release state reason started_at finished_at"


class Version3:
    """An open connection of version 3, with the statements of that version.

    It inserts by position where that version does. Its records take whole rows, so a new column is an error.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(
            "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
        )
        assert self._db.execute("PRAGMA user_version").fetchone()[0] == 3

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def queue_run(self, pipeline: str, number: int, sha: str) -> None:
        """Queue a run for a commit of a ref, and claim it."""
        self._write("INSERT OR REPLACE INTO heads VALUES (?,?,?)", pipeline, "refs/heads/main", sha)
        self._write(
            "INSERT INTO runs (pipeline,number,kind,state,requested,sha,ref,author,subject,reason,started_at,"
            "finished_at,pid,trigger,queued_at,options,retry_of,attempts) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            *(pipeline, number, "run", "queued", None, sha, "main", "Ada", "Sell more", "", BEGAN),
            *(None, 0, "hook", BEGAN, '{"configuration": "commit", "force": true}', None, 0),
        )
        self._write(
            "UPDATE runs SET state='running', started_at=?, pid=?, attempts=attempts+1 WHERE pipeline=? AND number=?",
            *(BEGAN, 103, pipeline, number),
        )

    def enter(self, pipeline: str, run: int, stage: str) -> None:
        """Start a stage."""
        self._write(
            "INSERT INTO stages (pipeline, run, position, name, state, started_at) SELECT ?,?,count(*),?,?,? "
            "FROM stages WHERE pipeline=? AND run=?",
            *(pipeline, run, stage, "running", BEGAN, pipeline, run),
        )

    def deploy(self, pipeline: str, run: int, before: int, after: int) -> None:
        """Create a release and deploy it."""
        values = (pipeline, after, run, _SHA, "Sell more", "sha256:4", "shop:4", _SPEC, "pending", BEGAN)
        self._write("INSERT INTO releases VALUES (?,?,?,?,?,?,?,?,?,?)", *values)
        self._write(
            "INSERT INTO deployments (pipeline, run, from_release, to_release, state, started_at) VALUES (?,?,?,?,?,?)",
            *(pipeline, run, before, after, "running", BEGAN),
        )
        record = make_dataclass("Deployment", _DEPLOYMENT.split())
        row = self._db.execute("SELECT * FROM deployments WHERE pipeline=? AND state='running'", (pipeline,)).fetchone()
        deployment = record(**dict(row))
        self._write(
            "UPDATE deployments SET state=?, reason=?, finished_at=? WHERE id=?",
            *("succeeded", "", ENDED, vars(deployment)["id"]),
        )
        for number, state in ((before, "retired"), (after, "active")):
            self._write("UPDATE releases SET state=? WHERE pipeline=? AND number=?", state, pipeline, number)

    def finish(self, pipeline: str, run: int) -> None:
        """End a run and its stage."""
        self._write(
            "UPDATE runs SET state=?, reason=?, finished_at=?, waits_for=NULL WHERE pipeline=? AND number=?",
            *("succeeded", "", ENDED, pipeline, run),
        )
        self._write(
            "UPDATE stages SET state=?, finished_at=? WHERE pipeline=? AND run=? AND state='running'",
            *("failed", ENDED, pipeline, run),
        )

    def write_the_rest(self, pipeline: str) -> None:
        """Insert into the remaining tables."""
        self._write("INSERT OR REPLACE INTO pipelines VALUES (?,?)", pipeline, "/srv/moved/pipeline.yaml")
        self._write("INSERT OR REPLACE INTO images VALUES (?,?,?)", pipeline, "built:2", "sha256:4")
        self._write("INSERT OR REPLACE INTO watched VALUES (?,?)", pipeline, '["refs/tags/*"]')
        self._write("INSERT OR REPLACE INTO transitions VALUES (?,?,?,?)", pipeline, "build", "freeze", BEGAN)
        self._write(
            "INSERT INTO events (pipeline, run, kind, message, fields, at) VALUES (?,?,?,?,?,?)",
            *(pipeline, None, "target.healthy", "web-2 is healthy", "{}", BEGAN),
        )

    def take_delivery(self, pipeline: str, digest: str) -> bool:
        """Store a webhook delivery. False if it is stored already."""
        cursor = self._db.execute("INSERT OR IGNORE INTO deliveries VALUES (?,?,?)", (digest, pipeline, BEGAN))
        return cursor.rowcount == 1

    def read(self, pipeline: str) -> list[object]:
        """Read the latest run and the active release into records."""
        run, release = make_dataclass("Run", _RUN.split()), make_dataclass("Release", _RELEASE.split())
        runs = self._db.execute("SELECT * FROM runs WHERE pipeline=? ORDER BY number DESC LIMIT 1", (pipeline,))
        releases = self._db.execute("SELECT * FROM releases WHERE pipeline=? AND state='active'", (pipeline,))
        return [run(**dict(runs.fetchone())), release(**dict(releases.fetchone()))]

    def delete_run(self, pipeline: str, run: int) -> None:
        """Delete a run with its events."""
        self._write("DELETE FROM events WHERE pipeline=? AND run=?", pipeline, run)
        self._write("DELETE FROM runs WHERE pipeline=? AND number=?", pipeline, run)

    def _write(self, sql: str, *values: object) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(sql, values)
        self._db.execute("COMMIT")
