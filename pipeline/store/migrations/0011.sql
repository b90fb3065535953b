-- Version 11: how far each service of an open deployment is, and the strategy of each run's deployment.
--
-- Times are in seconds. `baked` is the time that the release has received traffic in this step.
CREATE TABLE deployment_progress (
  pipeline TEXT NOT NULL,
  deployment INTEGER NOT NULL,
  service TEXT NOT NULL,
  position INTEGER NOT NULL,
  strategy TEXT NOT NULL,
  phase TEXT NOT NULL,
  since TEXT NOT NULL,
  step INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  share REAL NOT NULL,
  bake_time REAL NOT NULL,
  baked REAL NOT NULL,
  hooks_done TEXT NOT NULL,
  PRIMARY KEY (pipeline, deployment, service)
) WITHOUT ROWID;

CREATE TABLE deployment_strategies (
  pipeline TEXT NOT NULL,
  run INTEGER NOT NULL,
  strategy TEXT NOT NULL,
  PRIMARY KEY (pipeline, run)
) WITHOUT ROWID
