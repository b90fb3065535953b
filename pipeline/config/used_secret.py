"""A secret that a pipeline.yaml uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Origin = Literal["environment", "file", "command", "missing"]
"""The source of a secret's value: the environment, `secrets.file`, `secrets.command`, or none."""


@dataclass(frozen=True)
class UsedSecret:
    """A secret with the lines of pipeline.yaml that use it, and the source of its value, which is not in it."""

    name: str
    lines: tuple[int, ...]
    origin: Origin
