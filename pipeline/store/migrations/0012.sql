-- Version 12: what a deployment waits for, the answers to it, and from when on it is judged.
--
-- `name` is unique within a service of a deployment, so a process that continues the deployment finds its wait again. `since` is
-- a stamp, `timeout` in seconds, None if it has no end. `promoted_by` is set by `pipeline promote`, `over` by the deployment.
-- `exits` is JSON: how often each container of the new release had exited when it first received traffic.
CREATE TABLE deployment_waits (
  deployment INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  service TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  since TEXT NOT NULL,
  timeout REAL,
  promoted_by TEXT,
  over INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (deployment, service, name)
) WITHOUT ROWID;

CREATE TABLE deployment_evidence (
  deployment INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
  service TEXT NOT NULL,
  since TEXT NOT NULL,
  exits TEXT NOT NULL,
  PRIMARY KEY (deployment, service)
) WITHOUT ROWID;

CREATE TABLE deployment_aborts (
  deployment INTEGER PRIMARY KEY REFERENCES deployments (id) ON DELETE CASCADE,
  by TEXT NOT NULL,
  comment TEXT NOT NULL,
  at TEXT NOT NULL
)
