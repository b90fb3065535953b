"""What every reporter is: options in pipeline.yaml, and a way to tell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from pydantic import Field

from pipeline.balancer.model import Model
from pipeline.reporters.report import Report

# Puts the values into a text that holds `${secret:NAME}`. Raises `ConfigError` for one that is nowhere.
ResolveSecrets = Callable[[str], str]


class DeliveryFailed(Exception):
    """A message did not arrive. The text says why, without any secret.

    `again` says whether trying again may help, `after` how many seconds the other side wants to be left alone.
    """

    def __init__(self, reason: str, *, retryable: bool, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retryable = retryable
        self.retry_after = retry_after


class Reporter(Model, ABC):
    """A model of its own options, in which texts hold secrets by name only.

    `needs_commit`: it is told of nothing before the run's commit is known.
    """

    needs_commit: ClassVar[bool] = False

    type: str = Field(description="Which reporter it is.")

    @abstractmethod
    def report(self, report: Report, reveal: ResolveSecrets) -> None:
        """Tell of it once, or leave it be; on a thread where waiting is fine. Raises `DeliveryFailed`."""
