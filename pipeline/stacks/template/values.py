"""Plain JSON values, and paths in a template."""

from __future__ import annotations

from typing import TypeAlias

JSON: TypeAlias = "None | bool | int | float | str | list[JSON] | dict[str, JSON]"
Path: TypeAlias = tuple[str | int, ...]


def dotted(path: Path) -> str:
    """Return a path as text, such as `Resources.Web.Properties.Tags[0].Value`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
