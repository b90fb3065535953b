-- Version 16: the users who requested and cancelled runs.
--
-- As in version 4, the existing tables stay as they are. A run has a row if a user requested or cancelled it. `cancelled_by` is
-- written before the run is stopped. The process that executes it reads it at the end.
CREATE TABLE run_actors (
  pipeline TEXT NOT NULL,
  run INTEGER NOT NULL,
  requested_by TEXT,
  cancelled_by TEXT,
  PRIMARY KEY (pipeline, run),
  FOREIGN KEY (pipeline, run) REFERENCES runs (pipeline, number) ON DELETE CASCADE
) WITHOUT ROWID;

DROP VIEW timed_runs;

CREATE VIEW timed_runs AS SELECT runs.*, own.boot, own.seconds, own.took, waited.boot AS queued_boot,
  waited.seconds AS queued_seconds, run_actors.requested_by, run_actors.cancelled_by FROM runs
  LEFT JOIN run_times own ON own.pipeline=runs.pipeline AND own.run=runs.number AND own.part='run'
  LEFT JOIN run_times waited ON waited.pipeline=runs.pipeline AND waited.run=runs.number AND waited.part='queue'
  LEFT JOIN run_actors ON run_actors.pipeline=runs.pipeline AND run_actors.run=runs.number;

-- The user who cancelled a run of a job.
ALTER TABLE job_runs ADD COLUMN cancelled_by TEXT
