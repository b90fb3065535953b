-- Version 2: a queue of runs, with the trigger of each.

ALTER TABLE runs ADD COLUMN trigger TEXT NOT NULL DEFAULT 'command';

-- The time of queueing. NULL for a run that a command executes itself, which is never queued again.
ALTER TABLE runs ADD COLUMN queued_at TEXT;

-- JSON of RunOptions.
ALTER TABLE runs ADD COLUMN options TEXT NOT NULL DEFAULT '{}';

ALTER TABLE runs ADD COLUMN superseded_by INTEGER;

ALTER TABLE runs ADD COLUMN retry_of INTEGER;

-- The number of times that a process started it.
ALTER TABLE runs ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;

-- What blocks its next stage. NULL while it executes.
ALTER TABLE runs ADD COLUMN waits_for TEXT;

-- JSON of ApprovalDecision.
ALTER TABLE runs ADD COLUMN approval TEXT;

-- The image that the run uses. It is kept until the run is over.
ALTER TABLE runs ADD COLUMN image_id TEXT;

CREATE INDEX runs_by_state ON runs (pipeline, state);

-- The last commit of each ref that was turned into a run.
CREATE TABLE heads (
  pipeline TEXT NOT NULL,
  ref TEXT NOT NULL,
  sha TEXT NOT NULL,
  PRIMARY KEY (pipeline, ref)
) WITHOUT ROWID;

-- The disabled transitions into stages. All others are enabled.
CREATE TABLE transitions (
  pipeline TEXT NOT NULL,
  stage TEXT NOT NULL,
  reason TEXT NOT NULL,
  closed_at TEXT NOT NULL,
  PRIMARY KEY (pipeline, stage)
) WITHOUT ROWID;

CREATE INDEX events_by_pipeline ON events (pipeline, id);

-- Webhook deliveries that were received. Replaced by webhook_deliveries in version 4.
CREATE TABLE deliveries (
  digest TEXT PRIMARY KEY,
  pipeline TEXT NOT NULL,
  at TEXT NOT NULL
) WITHOUT ROWID;
