-- Version 3: refs that are new are distinguished from refs that a changed `triggers` matches for the first time.

-- JSON list of the ref patterns of the last scan.
CREATE TABLE watched (
  pipeline TEXT PRIMARY KEY,
  patterns TEXT NOT NULL
) WITHOUT ROWID;
