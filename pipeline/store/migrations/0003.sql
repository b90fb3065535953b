-- Version 3: what is new because it came is told from what is new because `triggers` has come to mean it.

-- JSON: the patterns of refs that the last look looked for.
CREATE TABLE watched (
  pipeline TEXT PRIMARY KEY,
  patterns TEXT NOT NULL
) WITHOUT ROWID;
