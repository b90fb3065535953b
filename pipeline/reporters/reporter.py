"""The base class of reporters: options in pipeline.yaml, and a method that sends a report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from pydantic import Field

from pipeline.balancer.model import Model
from pipeline.reporters.report import Report

# Resolves `${secret:NAME}` in a text. Raises `ConfigError` for a missing secret.
ResolveSecrets = Callable[[str], str]


class DeliveryFailed(Exception):
    """A message was not delivered. The text is the reason, without secrets.

    `retryable` is true if a retry may succeed. `retry_after` is the pause in seconds that the receiver requested.
    """

    def __init__(self, reason: str, *, retryable: bool, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retryable = retryable
        self.retry_after = retry_after


class Reporter(Model, ABC):
    """Base class of reporters, and the model of their options. Options contain secrets by name only.

    A reporter with `needs_commit` gets no report before the run's commit is resolved.
    """

    needs_commit: ClassVar[bool] = False

    type: str = Field(description="Type of the reporter.")

    @abstractmethod
    def report(self, report: Report, reveal: ResolveSecrets) -> None:
        """Send the report once, or ignore it. May block. Raises `DeliveryFailed`."""
