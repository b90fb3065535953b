-- Version 14: the hosts on which the replicas of a pipeline run.
--
-- `settled` is the cluster that the last successful deployment set, `pending` that of the open deployment. Both are JSON,
-- NULL for the local engine alone and without one. A pipeline without a row has the local engine.
CREATE TABLE clusters (
  pipeline TEXT PRIMARY KEY,
  settled TEXT,
  pending TEXT
) WITHOUT ROWID;

-- Hosts that are in neither and may still have replicas. `spec` is JSON.
CREATE TABLE leaving_hosts (
  pipeline TEXT NOT NULL,
  name TEXT NOT NULL,
  spec TEXT NOT NULL,
  PRIMARY KEY (pipeline, name)
) WITHOUT ROWID;

-- Hosts that `pipeline node drain` keeps free of replicas, whether or not they are in a cluster.
CREATE TABLE drained_hosts (
  pipeline TEXT NOT NULL,
  name TEXT NOT NULL,
  since TEXT NOT NULL,
  PRIMARY KEY (pipeline, name)
) WITHOUT ROWID
