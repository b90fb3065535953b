"""The sessions of the web interface, and the links that begin them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pipeline.store.database import Database
from pipeline.store.rows import parse_time


class Role(StrEnum):
    """What a user of the web interface may do. `operate` includes `look`."""

    LOOK = "look"
    OPERATE = "operate"


@dataclass(frozen=True)
class WebLogin:
    """A link that begins a session once."""

    user: str
    role: Role
    expires_at: datetime


@dataclass(frozen=True)
class WebSession:
    """A session. `digest` is the SHA-256 of its secret."""

    digest: str
    user: str
    role: Role
    created_at: datetime
    used_at: datetime


class WebSessions:
    """Links and sessions by the digests of their secrets. Every method is one transaction and raises `StoreFault`.

    Callers decide which sessions have expired.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def add_login(self, digest: str, login: WebLogin, now: datetime) -> None:
        """Store a link, and remove those that have expired."""
        with self._db.transaction() as db:
            db.execute("DELETE FROM web_logins WHERE expires_at <= ?", (now.isoformat(),))
            values = (digest, login.user, login.role, login.expires_at.isoformat())
            db.execute("INSERT INTO web_logins (digest, user, role, expires_at) VALUES (?,?,?,?)", values)

    def login(self, digest: str) -> WebLogin | None:
        """Return a link that was not used, also an expired one."""
        row = self._db.row("SELECT * FROM web_logins WHERE digest=?", digest)
        return _login(row) if row else None

    def begin(self, login: str, session: str, now: datetime) -> WebSession | None:
        """Use up the link with the digest `login`, and store a session for it. None if the link is used or expired."""
        with self._db.transaction() as db:
            row = db.execute("DELETE FROM web_logins WHERE digest=? RETURNING *", (login,)).fetchone()
            if row is None or (found := _login(row)).expires_at <= now:
                return None
            begun = WebSession(session, found.user, found.role, now, now)
            db.execute(
                "INSERT INTO web_sessions (digest, user, role, created_at, used_at) VALUES (?,?,?,?,?)",
                (session, begun.user, begun.role, now.isoformat(), now.isoformat()),
            )
            return begun

    def get(self, digest: str) -> WebSession | None:
        """Return a session, also an expired one."""
        row = self._db.row("SELECT * FROM web_sessions WHERE digest=?", digest)
        return _session(row) if row else None

    def all(self) -> list[WebSession]:
        """Return all sessions, the latest first, also expired ones."""
        return [_session(row) for row in self._db.rows("SELECT * FROM web_sessions ORDER BY created_at DESC, digest")]

    def touch(self, digest: str, now: datetime) -> None:
        """Store that a session is used now."""
        with self._db.transaction() as db:
            db.execute("UPDATE web_sessions SET used_at=? WHERE digest=?", (now.isoformat(), digest))

    def end(self, digest: str) -> bool:
        """Remove a session. False if there was none."""
        with self._db.transaction() as db:
            return db.execute("DELETE FROM web_sessions WHERE digest=?", (digest,)).rowcount > 0

    def end_all(self, user: str | None) -> int:
        """Remove the sessions and the links of a user, or of all. Return the number of sessions."""
        where, values = ("", ()) if user is None else (" WHERE user=?", (user,))
        with self._db.transaction() as db:
            db.execute(f"DELETE FROM web_logins{where}", values)  # noqa: S608  # a fixed text
            return db.execute(f"DELETE FROM web_sessions{where}", values).rowcount  # noqa: S608  # a fixed text


def _login(row: sqlite3.Row) -> WebLogin:
    return WebLogin(row["user"], Role(row["role"]), parse_time(row["expires_at"]))


def _session(row: sqlite3.Row) -> WebSession:
    return WebSession(
        row["digest"], row["user"], Role(row["role"]), parse_time(row["created_at"]), parse_time(row["used_at"])
    )
