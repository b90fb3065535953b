-- Version 1. Every table is keyed by pipeline. Pipelines share the file and nothing else.

CREATE TABLE pipelines (
  name TEXT PRIMARY KEY,
  file TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE runs (
  pipeline TEXT NOT NULL,
  number INTEGER NOT NULL,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  requested TEXT,
  sha TEXT,
  ref TEXT,
  author TEXT,
  subject TEXT,
  release INTEGER,
  reason TEXT NOT NULL DEFAULT '',
  started_at TEXT NOT NULL,
  finished_at TEXT,
  pid INTEGER NOT NULL,
  PRIMARY KEY (pipeline, number)
) WITHOUT ROWID;

CREATE TABLE stages (
  pipeline TEXT NOT NULL,
  run INTEGER NOT NULL,
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  summary TEXT NOT NULL DEFAULT '',
  started_at TEXT NOT NULL,
  finished_at TEXT,
  PRIMARY KEY (pipeline, run, name),
  FOREIGN KEY (pipeline, run) REFERENCES runs (pipeline, number) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE releases (
  pipeline TEXT NOT NULL,
  number INTEGER NOT NULL,
  run INTEGER NOT NULL,
  sha TEXT NOT NULL,
  subject TEXT NOT NULL,
  image_id TEXT NOT NULL,
  image_tag TEXT NOT NULL,
  spec TEXT NOT NULL,
  state TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (pipeline, number)
) WITHOUT ROWID;

-- The database refuses a second active release.
CREATE UNIQUE INDEX one_active_release ON releases (pipeline) WHERE state = 'active';

CREATE TABLE deployments (
  id INTEGER PRIMARY KEY,
  pipeline TEXT NOT NULL,
  run INTEGER NOT NULL,
  from_release INTEGER,
  to_release INTEGER,
  state TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  started_at TEXT NOT NULL,
  finished_at TEXT
);

CREATE UNIQUE INDEX one_open_deployment ON deployments (pipeline) WHERE state = 'running';

CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  pipeline TEXT NOT NULL,
  run INTEGER,
  kind TEXT NOT NULL,
  message TEXT NOT NULL,
  fields TEXT NOT NULL,
  at TEXT NOT NULL
);

CREATE INDEX events_by_run ON events (pipeline, run, id);

CREATE TABLE images (
  pipeline TEXT NOT NULL,
  key TEXT NOT NULL,
  image_id TEXT NOT NULL,
  PRIMARY KEY (pipeline, key)
) WITHOUT ROWID;
