"""How a request to a URL that a user has written authenticates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from requests import PreparedRequest


def auth_of(url: str) -> Callable[[PreparedRequest], PreparedRequest]:
    """Return what adds the user and the password of a URL to its request, or nothing if it has none.

    Without an auth handler, requests would take another password, or replace a token, by ~/.netrc.
    """
    from requests.auth import HTTPBasicAuth  # The import is slow, and most deployments need it not.

    parts = urlsplit(url)
    if parts.username is None:
        return lambda request: request
    return HTTPBasicAuth(unquote(parts.username), unquote(parts.password or ""))
