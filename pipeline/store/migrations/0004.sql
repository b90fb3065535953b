-- Version 4: counts of services, and webhook deliveries by pipeline.
--
-- A process of version 3 can still have the file open. It inserts rows by position and builds its records from whole
-- rows, so a migration may add tables, and must leave the existing ones as they are.

-- The number of replicas that each service should have.
CREATE TABLE services (
  pipeline TEXT NOT NULL,
  name TEXT NOT NULL,
  wanted INTEGER NOT NULL CHECK (wanted >= 0),
  PRIMARY KEY (pipeline, name)
) WITHOUT ROWID;

-- Webhook deliveries that were received. Two pipelines of one repository get the same ones.
CREATE TABLE webhook_deliveries (
  pipeline TEXT NOT NULL,
  digest TEXT NOT NULL,
  at TEXT NOT NULL,
  PRIMARY KEY (pipeline, digest)
) WITHOUT ROWID;

INSERT INTO webhook_deliveries (pipeline, digest, at) SELECT pipeline, digest, at FROM deliveries;
