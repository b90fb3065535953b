"""The type of the fixture `loads`."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.config.load import Configuration

Loads = Callable[..., Configuration]
