"""The auto scaling of a service, as the control API and `--json` show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from pipeline.http.responses.body import Body, Timestamp


class ScalingDecisionResponse(Body):
    """The last decision of auto scaling. A metric that was not known or not needed is null."""

    at: Timestamp = Field(description="Time of the decision.")
    count: int = Field(description="Number of replicas that it wants.")
    reason: str = Field(description="Why, with numbers.")
    serving: int = Field(description="Replicas that received requests.")
    starting: int = Field(description="Replicas that were starting.")
    requests: float | None = Field(description="Requests per minute in total.")
    connections: float | None = Field(description="Requests or connections in progress in total.")
    cpu: float | None = Field(description="Average CPU of the replicas in percent of their limit.")
    response_time: float | None = Field(description="90th percentile of the response times in seconds.")


class ScalingResponse(Body):
    """A service whose number of replicas is scaled automatically. `min` and `max` are in force now."""

    service: str = Field(description="The service's name.")
    wanted: int = Field(description="Number of replicas that it should have.")
    min: int = Field(description="The smallest number of replicas.")
    max: int = Field(description="The largest number of replicas.")
    suspended_at: Timestamp | None = Field(description="Since when scaling is suspended; null if it is not.")
    policy: Mapping[str, Any] = Field(description="The policy, as in pipeline.yaml.")
    decision: ScalingDecisionResponse | None = Field(description="The last decision; null before the first one.")
