-- Version 10: The accessories in the file of the commit that was deployed last. Commands and the daemon may have another file.
CREATE TABLE deployed_accessories (
  pipeline TEXT NOT NULL,
  name TEXT NOT NULL,
  settings TEXT NOT NULL,
  PRIMARY KEY (pipeline, name)
) WITHOUT ROWID
