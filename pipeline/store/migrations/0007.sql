-- The number of replicas that `pipeline scale` has set. It lasts as long as pipeline.yaml has the number `declared`.
CREATE TABLE scales (
  pipeline TEXT NOT NULL,
  service TEXT NOT NULL,
  declared INTEGER NOT NULL,
  wanted INTEGER NOT NULL,
  PRIMARY KEY (pipeline, service)
) WITHOUT ROWID
