"""The type of the `golden` fixture: it compares a text with the golden file of that name."""

from __future__ import annotations

from collections.abc import Callable

Golden = Callable[[str, str], None]
