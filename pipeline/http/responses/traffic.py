"""The traffic of target groups over time, as the control API and `--json` show it."""

from __future__ import annotations

from pydantic import Field

from pipeline.http.responses.body import Body, Timestamp
from pipeline.store.records import DeploymentState


class TrafficStepResponse(Body):
    """The requests that ended in one step."""

    at: Timestamp = Field(description="Begin of the step.")
    seconds: int = Field(description="Length of the step. The first and the last one may be shorter than the others.")
    requests: int = Field(description="Requests that were forwarded to a target group.")
    rate: float = Field(description="Requests per second.")
    errors_4xx: int = Field(description="Responses with 4XX, and clients that left before the response.")
    errors_5xx: int = Field(description="Responses with 5XX, from targets or from the load balancer.")
    p50: float | None = Field(description="Seconds until the response headers of a target, for half of the responses.")
    p99: float | None = Field(description="The same, for 99 of 100 responses.")


class DeploymentMarkResponse(Body):
    """A deployment in the window."""

    pipeline: str
    run: int
    from_release: int | None = Field(description="The release before; null for the first one.")
    to_release: int | None = Field(description="The new release; null for `pipeline down`.")
    state: DeploymentState = Field(description="Current state.")
    strategy: str = Field(description="How the traffic moves; empty if it does not.")
    started_at: Timestamp
    finished_at: Timestamp | None = Field(description="Null while it is in progress.")


class TrafficResponse(Body):
    """Requests, errors and response times by step. Only requests through application load balancers are counted."""

    pipeline: str | None
    group: str | None
    since: Timestamp = Field(
        description="Time from which all requests are counted. In a young or a long log, it is later than the begin."
    )
    end: Timestamp = Field(description="End of the window, a whole second.")
    step: int = Field(description="Seconds of a step.")
    steps: list[TrafficStepResponse] = Field(description="Oldest first.")
    groups: list[str] = Field(description="Target groups that had requests, also those that are not selected.")
    deployments: list[DeploymentMarkResponse] = Field(description="Deployments in the window, oldest first.")
