-- Version 11: how far each service of an open deployment is, and the strategy of each deployment.
--
-- Times are in seconds. `baked` is the time that the release has received traffic in this step.
CREATE TABLE deployment_progress (
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
  PRIMARY KEY (deployment, service)
) WITHOUT ROWID;

-- Empty for `pipeline down`, and for deployments by an earlier version.
ALTER TABLE deployments ADD COLUMN strategy TEXT NOT NULL DEFAULT ''
