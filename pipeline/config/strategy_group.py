"""The check that a service whose strategy moves traffic has a target group."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.base.errors import FieldError
from pipeline.config.service import ServiceSettings


def shifts(settings: ServiceSettings) -> bool:
    """Return whether a deployment moves the traffic between two target groups."""
    return settings.strategy is not None and settings.strategy.is_shifting


def missing_group(settings: ServiceSettings) -> Iterator[FieldError]:
    """Yield the mistake of a strategy that moves traffic, of a service that gets none."""
    if settings.strategy is not None and shifts(settings) and not settings.target_group:
        yield FieldError(
            "strategy",
            f"{settings.strategy.type} needs a target_group, because it moves the traffic to a second one; write "
            "rolling",
        )
