-- Version 8: scheduled jobs.
--
-- A run that has not ended has the state `running`. Those of a command have no time in `scheduled_for`. The first three
-- columns of times are those of a `Stamp`.
CREATE TABLE job_runs (
  pipeline TEXT NOT NULL,
  number INTEGER NOT NULL,
  job TEXT NOT NULL,
  release INTEGER NOT NULL,
  scheduled_for TEXT,
  container TEXT NOT NULL,
  state TEXT NOT NULL,
  exit_code INTEGER,
  reason TEXT NOT NULL DEFAULT '',
  cancelled INTEGER NOT NULL DEFAULT 0,
  started_at TEXT NOT NULL,
  boot TEXT NOT NULL,
  seconds REAL NOT NULL,
  ended_at TEXT,
  took REAL,
  PRIMARY KEY (pipeline, number)
) WITHOUT ROWID;

CREATE UNIQUE INDEX running_job_runs ON job_runs (pipeline, job) WHERE state='running';

-- Up to `since`, all times of a schedule are handled: run, or reported as skipped.
CREATE TABLE job_schedules (
  pipeline TEXT NOT NULL,
  job TEXT NOT NULL,
  schedule TEXT NOT NULL,
  timezone TEXT NOT NULL,
  since TEXT NOT NULL,
  PRIMARY KEY (pipeline, job)
) WITHOUT ROWID
