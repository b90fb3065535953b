-- Version 15: who may use the web interface.
--
-- `digest` is the SHA-256 of a secret that only the user's browser has. `role` is `look` or `operate`.
CREATE TABLE web_logins (
  digest TEXT PRIMARY KEY,
  user TEXT NOT NULL,
  role TEXT NOT NULL,
  expires_at TEXT NOT NULL
) WITHOUT ROWID;

-- `used_at` is the time of the last request, written at most once an hour.
CREATE TABLE web_sessions (
  digest TEXT PRIMARY KEY,
  user TEXT NOT NULL,
  role TEXT NOT NULL,
  created_at TEXT NOT NULL,
  used_at TEXT NOT NULL
) WITHOUT ROWID
