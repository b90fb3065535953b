-- Version 5: boot times of runs and stages, so that their durations do not depend on the wall clock.
--
-- As in version 4, the existing tables stay as they are.

-- The boot time at which a part of a run began, and how long it took, both in seconds. `part` is `queue` for the time in
-- the queue, `run` for the execution, or a stage. `took` is NULL until the part is over, and if the machine has restarted
-- meanwhile.
CREATE TABLE run_times (
  pipeline TEXT NOT NULL,
  run INTEGER NOT NULL,
  part TEXT NOT NULL,
  boot TEXT NOT NULL,
  seconds REAL NOT NULL,
  took REAL,
  PRIMARY KEY (pipeline, run, part),
  FOREIGN KEY (pipeline, run) REFERENCES runs (pipeline, number) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE VIEW timed_runs AS SELECT runs.*, own.boot, own.seconds, own.took, waited.boot AS queued_boot,
  waited.seconds AS queued_seconds FROM runs
  LEFT JOIN run_times own ON own.pipeline=runs.pipeline AND own.run=runs.number AND own.part='run'
  LEFT JOIN run_times waited ON waited.pipeline=runs.pipeline AND waited.run=runs.number AND waited.part='queue';

CREATE VIEW timed_stages AS SELECT stages.*, own.boot, own.seconds, own.took FROM stages
  LEFT JOIN run_times own ON own.pipeline=stages.pipeline AND own.run=stages.run AND own.part=stages.name;
