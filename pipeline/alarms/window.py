"""What a release did in a window of time."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.alarms.histogram import Histogram


@dataclass(frozen=True, kw_only=True)
class ReleaseWindow:
    """The counts of one release in one window, such as a second.

    `requests` were sent to its targets. Of these, `target_5xx` were answered by a target with 5XX, and `elb_5xx` by
    the balancer in place of one, such as a 502 or a 504. `connection_errors` counts failed connections to targets, with
    retries. `response_times` has the times until a target answered, or until a client left that waited for it.
    `unhealthy_targets` is the number at the window's end, `restarts` that of containers that exited in the window.
    Raises `ValueError` if the counts contradict one another.
    """

    requests: int = 0
    target_5xx: int = 0
    elb_5xx: int = 0
    connection_errors: int = 0
    response_times: Histogram = field(default_factory=Histogram)
    unhealthy_targets: int = 0
    restarts: int = 0

    def __post_init__(self) -> None:
        counts = (self.requests, self.target_5xx, self.elb_5xx, self.connection_errors, self.unhealthy_targets)
        if min(*counts, self.restarts) < 0:
            raise ValueError("the counts of a window must be at least 0")
        if self.target_5xx + self.elb_5xx > self.requests:
            raise ValueError(
                f"a window of {self.requests} requests cannot have {self.target_5xx + self.elb_5xx} responses with 5XX"
            )
        if self.response_times.total > self.requests:
            raise ValueError(
                f"a window of {self.requests} requests cannot have {self.response_times.total} response times"
            )

    def __add__(self, later: ReleaseWindow) -> ReleaseWindow:
        """Return both windows as one. The order matters for `unhealthy_targets` only."""
        return ReleaseWindow(
            requests=self.requests + later.requests,
            target_5xx=self.target_5xx + later.target_5xx,
            elb_5xx=self.elb_5xx + later.elb_5xx,
            connection_errors=self.connection_errors + later.connection_errors,
            response_times=self.response_times + later.response_times,
            unhealthy_targets=later.unhealthy_targets,
            restarts=self.restarts + later.restarts,
        )
