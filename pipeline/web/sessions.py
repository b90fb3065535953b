"""Sessions of users: the secret is in the user's browser, its digest in the database."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from datetime import datetime, timedelta

from pipeline.base.clock import Clock
from pipeline.base.errors import StoreFault
from pipeline.store.store import Store
from pipeline.store.web_sessions import Role, WebLogin, WebSession

LOGIN_LIFETIME = timedelta(minutes=10)
MAX_IDLE = timedelta(hours=12)
MAX_AGE = timedelta(days=30)
# A write for each request would wake everything that follows the database.
_TOUCH_INTERVAL = timedelta(hours=1)
_MAX_NAME = 64


def is_user_name(text: str) -> bool:
    """Return whether a text can be the name of a user: 1 to 64 printable characters without a space at an end."""
    return 0 < len(text) <= _MAX_NAME and text.isprintable() and text == text.strip()


def new_login(store: Store, user: str, role: Role, now: datetime) -> str:
    """Store a link for a user. Return its secret, which is stored nowhere."""
    secret = secrets.token_urlsafe(32)
    store.web_sessions.add_login(digest(secret), WebLogin(user, role, now + LOGIN_LIFETIME), now)
    return secret


def is_valid(session: WebSession, now: datetime) -> bool:
    """Return whether a session has not expired.

    One from the future began while the clock was wrong, and would never expire.
    """
    return abs(now - session.created_at) < MAX_AGE and abs(now - session.used_at) < MAX_IDLE


def digest(secret: str) -> str:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Sessions:
    """The sessions of one home. Safe to use from any thread. Raises `StoreFault`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._stored = store.web_sessions
        self._clock = clock

    def has_login(self, secret: str) -> bool:
        """Return whether a link can still be used. Not one from the future, which began while the clock was wrong."""
        found, now = self._stored.login(digest(secret)), self._now()
        return found is not None and now < found.expires_at < now + 2 * LOGIN_LIFETIME

    def find_login(self, secret: str) -> WebLogin | None:
        """Return what a link begins, without using it up. None if it cannot be used."""
        return self._stored.login(digest(secret)) if self.has_login(secret) else None

    def begin(self, login: str) -> str | None:
        """Use up a link. Return the secret of the new session, or None if the link cannot be used."""
        if not self.has_login(login):
            return None
        secret = secrets.token_urlsafe(32)
        return secret if self._stored.begin(digest(login), digest(secret), self._now()) else None

    def find(self, secret: str) -> WebSession | None:
        """Return the valid session of a secret, or None. Its idle time begins again."""
        found, now = self._stored.get(digest(secret)), self._now()
        if found is None or not is_valid(found, now):
            return None
        if now - found.used_at >= _TOUCH_INTERVAL:
            # A user has to see the pages of a home whose disk is full.
            with suppress(StoreFault):
                self._stored.touch(found.digest, now)
        return found

    def end(self, secret: str) -> None:
        """End a session."""
        self._stored.end(digest(secret))

    def _now(self) -> datetime:
        return self._clock.now().wall
