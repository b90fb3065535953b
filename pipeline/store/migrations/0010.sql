-- Version 10: the reason for which a job is stopped, and the accessories of the last deployment.
--
-- The accessories are those in the file of the commit that was deployed last. Commands and the daemon may have another file.
CREATE TABLE deployed_accessories (
  pipeline TEXT NOT NULL,
  name TEXT NOT NULL,
  settings TEXT NOT NULL,
  PRIMARY KEY (pipeline, name)
) WITHOUT ROWID;

-- The limit in seconds after which the run is stopped. It is written before the stop, as `cancelled` is.
ALTER TABLE job_runs ADD COLUMN timed_out REAL
