-- Version 2: runs wait in a queue before they run, and say what made them.

ALTER TABLE runs ADD COLUMN trigger TEXT NOT NULL DEFAULT 'command';

-- When the run was queued; NULL for one that a command ran itself, which nobody takes up again.
ALTER TABLE runs ADD COLUMN queued_at TEXT;

-- What the run was asked for besides its commit: parameters, force. JSON.
ALTER TABLE runs ADD COLUMN options TEXT NOT NULL DEFAULT '{}';

ALTER TABLE runs ADD COLUMN superseded_by INTEGER;

ALTER TABLE runs ADD COLUMN retry_of INTEGER;

-- How often somebody began to work on it.
ALTER TABLE runs ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;

-- What it waits for before its next stage; NULL while it works.
ALTER TABLE runs ADD COLUMN waits_for TEXT;

-- JSON: what somebody decided about it, and who.
ALTER TABLE runs ADD COLUMN approval TEXT;

-- The image that the run is about to use: kept while it is not over.
ALTER TABLE runs ADD COLUMN image_id TEXT;

CREATE INDEX runs_by_state ON runs (pipeline, state);

-- The last commit of each ref whose coming was turned into a run.
CREATE TABLE heads (
  pipeline TEXT NOT NULL,
  ref TEXT NOT NULL,
  sha TEXT NOT NULL,
  PRIMARY KEY (pipeline, ref)
) WITHOUT ROWID;

-- The stages that are closed, and why. What is not here is open.
CREATE TABLE transitions (
  pipeline TEXT NOT NULL,
  stage TEXT NOT NULL,
  reason TEXT NOT NULL,
  closed_at TEXT NOT NULL,
  PRIMARY KEY (pipeline, stage)
) WITHOUT ROWID;

CREATE INDEX events_by_pipeline ON events (pipeline, id);

-- Webhooks that have been taken, by a digest of each.
CREATE TABLE deliveries (
  digest TEXT PRIMARY KEY,
  pipeline TEXT NOT NULL,
  at TEXT NOT NULL
) WITHOUT ROWID;
