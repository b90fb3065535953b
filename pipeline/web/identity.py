"""Who sends a request, and what the user may do."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from pipeline.store.web_sessions import Role
from pipeline.web.sessions import MAX_AGE, Sessions, is_user_name
from pipeline.web.settings import ANY_USER, WebSettings


@dataclass(frozen=True)
class User:
    """A user with a session, or one that a proxy has authenticated.

    `secret` is what only this browser has. Empty for the first request of a user of a proxy.
    """

    name: str
    role: Role
    secret: str
    has_session: bool = True

    @property
    def can_operate(self) -> bool:
        """True if the user may use buttons."""
        return self.role is Role.OPERATE

    @property
    def csrf_token(self) -> str:
        """What a form must have, so that another site cannot send it."""
        return hashlib.sha256(b"csrf " + self.secret.encode()).hexdigest()

    def allows(self, token: str) -> bool:
        """Return whether a form came from a page of this user."""
        return bool(self.secret) and hmac.compare_digest(token.encode(), self.csrf_token.encode())


class Identities:
    """Finds the users of requests.

    The name of a cookie over TLS begins with `__Host-`, so no other host can set it.
    """

    def __init__(self, settings: WebSettings, sessions: Sessions) -> None:
        self._settings = settings
        self._sessions = sessions
        self._prefix = "__Host-penstock" if settings.has_tls else "penstock"

    def find(self, request: Request) -> User | None:
        """Return the user of a request, or None. Raises `StoreFault`."""
        secret = self._cookie(request, "session")
        if secret and (found := self._sessions.find(secret)):
            return User(found.user, found.role, secret)
        return self._named_by_proxy(request)

    def _named_by_proxy(self, request: Request) -> User | None:
        identity, peer = self._settings.identity, request.client
        if identity is None or peer is None or not self._settings.is_proxy(peer.host):
            return None
        names = request.headers.getlist(identity.header)
        # Two of them are a client's header that the proxy has left in its place.
        if len(names) != 1 or not is_user_name(name := _decoded(names[0])):
            return None
        role = _role(name, identity.look, identity.operate)
        return User(name, role, self._cookie(request, "form"), has_session=False) if role else None

    def begin(self, response: Response, secret: str) -> None:
        """Let the browser keep the secret of a session."""
        self._set(response, "session", secret, int(MAX_AGE.total_seconds()))

    def end(self, response: Response) -> None:
        """Let the browser forget the session."""
        self._set(response, "session", "", 0)

    def with_secret(self, response: Response, user: User) -> None:
        """Give a user of a proxy the secret that its forms need."""
        self._set(response, "form", user.secret, None)

    def _set(self, response: Response, name: str, value: str, max_age: int | None) -> None:
        response.set_cookie(
            f"{self._prefix}-{name}",
            value,
            max_age=max_age,
            secure=self._settings.has_tls,
            httponly=True,
            samesite="strict",
        )

    def _cookie(self, request: Request, name: str) -> str:
        return request.cookies.get(f"{self._prefix}-{name}", "")


def new_secret() -> str:
    """Return a secret for the forms of a user."""
    return secrets.token_urlsafe(32)


def _decoded(header: str) -> str:
    """Return a name as the proxy knows it: in UTF-8, which servers read as Latin-1."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _role(name: str, look: tuple[str, ...], operate: tuple[str, ...]) -> Role | None:
    if name in operate or ANY_USER in operate:
        return Role.OPERATE
    return Role.LOOK if name in look or ANY_USER in look else None
