"""How long what a run leaves behind is kept."""

from __future__ import annotations

from pydantic import Field

from pipeline.balancer.model import Model
from pipeline.base.quantity import Whole


class Retention(Model):
    """A run is kept with its events, logs and artifacts as long as any of these says so."""

    runs: Whole = Field(100, ge=1, le=1_000_000, description="The latest so many runs.")
    days: Whole | None = Field(None, ge=1, le=36500, description="What is younger than so many days.")
    keep_succeeded: Whole = Field(1, ge=1, le=1_000_000, description="The latest so many runs that succeeded.")
