"""What every reporter is: options in pipeline.yaml, and a way to tell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from pydantic import Field

from pipeline.balancer.model import Resource
from pipeline.reporters.report import Report

# Puts the values into a text that holds `${secret:NAME}`. Raises `ConfigError` for one that is nowhere.
Reveal = Callable[[str], str]


class Undelivered(Exception):
    """A message did not arrive. The text says why, without any secret.

    `again` says whether trying again may help, `after` how many seconds the other side wants to be left alone.
    """

    def __init__(self, reason: str, *, again: bool, after: float = 0.0) -> None:
        super().__init__(reason)
        self.again = again
        self.after = after


class Reporter(Resource, ABC):
    """A model of its own options, in which texts hold secrets by name only.

    `needs_commit`: it is told of nothing before the run's commit is known.
    """

    needs_commit: ClassVar[bool] = False

    type: str = Field(description="Which reporter it is.")

    @abstractmethod
    def report(self, report: Report, reveal: Reveal) -> None:
        """Tell of it once, or leave it be; on a thread where waiting is fine. Raises `Undelivered`."""
