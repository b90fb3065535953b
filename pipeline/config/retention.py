"""Retention of runs."""

from __future__ import annotations

from pydantic import Field

from pipeline.balancer.model import Model
from pipeline.base.quantity import Whole


class Retention(Model):
    """Limits of retention. A run is kept with its events, logs and artifacts while any limit includes it."""

    runs: Whole = Field(100, ge=1, le=1_000_000, description="Number of latest runs to keep.")
    days: Whole | None = Field(None, ge=1, le=36500, description="Age in days up to which runs are kept.")
    keep_succeeded: Whole = Field(1, ge=1, le=1_000_000, description="Number of latest succeeded runs to keep.")
