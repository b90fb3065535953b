-- Version 6: stacks.
--
-- As in version 4, the existing tables stay as they are. `document` is JSON, in the form of the records in
-- `pipeline/stacks/records.py`. The other columns repeat what is searched for.

CREATE TABLE stacks (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  status TEXT NOT NULL,
  document TEXT NOT NULL
) WITHOUT ROWID;

CREATE UNIQUE INDEX live_stacks ON stacks (owner, name) WHERE status <> 'DELETE_COMPLETE';

-- In the order of their rows, resources are created.
CREATE TABLE stack_resources (
  number INTEGER PRIMARY KEY,
  stack TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
  token TEXT NOT NULL,
  document TEXT NOT NULL,
  UNIQUE (stack, token)
);

CREATE TABLE stack_events (
  id INTEGER PRIMARY KEY,
  stack TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
  document TEXT NOT NULL
);

CREATE INDEX events_of_stacks ON stack_events (stack, id);

CREATE TABLE stack_exports (
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  stack TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
  value TEXT NOT NULL,
  PRIMARY KEY (owner, name)
) WITHOUT ROWID;

CREATE TABLE stack_imports (
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  stack TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
  PRIMARY KEY (owner, name, stack)
) WITHOUT ROWID;

CREATE TABLE stack_change_sets (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  stack TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  document TEXT NOT NULL,
  UNIQUE (stack, name)
);

CREATE TABLE stack_drifts (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  stack TEXT NOT NULL REFERENCES stacks (id) ON DELETE CASCADE,
  document TEXT NOT NULL
);
