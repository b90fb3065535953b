-- Version 13: scalable targets, the services whose number of replicas follows the load.
--
-- `policy` and `state` are JSON, in the form of the models in `pipeline/scaling`. `decision` is the last one, as JSON, and
-- NULL before the first one. `suspended` is the time since when the number is not changed, NULL if it is.
CREATE TABLE scalable_targets (
  pipeline TEXT NOT NULL,
  service TEXT NOT NULL,
  policy TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT '{}',
  decision TEXT,
  suspended TEXT,
  PRIMARY KEY (pipeline, service)
) WITHOUT ROWID
