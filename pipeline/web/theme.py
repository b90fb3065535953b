"""The colours of the pages, which each browser keeps in a cookie."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from starlette.requests import Request
from starlette.responses import Response

_COOKIE = "penstock-theme"
_MAX_AGE = 365 * 86400


class Theme(StrEnum):
    """A set of colours. `auto` follows the settings of the system."""

    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"
    CONTRAST = "contrast"

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return the theme of a request."""
        return cls.named(request.cookies.get(_COOKIE, ""))

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the theme with a name, `auto` for an unknown one."""
        return next((theme for theme in cls if theme == name), cls("auto"))

    def keep(self, response: Response) -> None:
        """Let the browser keep the theme."""
        response.set_cookie(_COOKIE, self, max_age=_MAX_AGE, httponly=True, samesite="strict")
