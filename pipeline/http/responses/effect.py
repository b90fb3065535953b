"""The effect of an action, as the control API shows it."""

from __future__ import annotations

from pydantic import Field

from pipeline.http.responses.body import Body


class EffectResponse(Body):
    """What an action has done, or has begun."""

    effect: str = Field(description="What has changed, in words.")
