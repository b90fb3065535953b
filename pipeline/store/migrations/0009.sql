-- Version 9: The accessories of each pipeline: what should run, and during a start or an upgrade, what is to take its place.
CREATE TABLE accessories (
  pipeline TEXT NOT NULL,
  name TEXT NOT NULL,
  wanted TEXT NOT NULL,
  current TEXT,
  next TEXT,
  PRIMARY KEY (pipeline, name)
) WITHOUT ROWID
