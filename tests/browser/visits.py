"""The fixture `visit`."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.browser import Visitor

Visit = Callable[..., Visitor]
"""Lets a user log in: `visit(user, role)`, with options of Playwright's browser context."""
