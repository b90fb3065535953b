"""A target's registration in a group, and its phase."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pipeline.balancer.model import HealthCheck, Model, Target, TargetGroup
from pipeline.base.clock import Stamp
from pipeline.base.schema import StoredStamp


class TargetPhase(StrEnum):
    """The phase of a target. Only a target that is `in_service` may get requests."""

    INITIAL = "initial"
    IN_SERVICE = "in_service"
    DRAINING = "draining"


class Registration(Model):
    """A target in a group.

    `register` and `deregister` write `wanted`; only the reconciler writes `admitted`. `check` is the health check at
    registration. If the group's check changes during a deployment, the targets of the previous release are no longer
    checked, instead of failing a check that was not meant for them. `ramps`: other targets had traffic when it was
    registered, so it starts slowly. `since`: the time of registration, admission or deregistration.
    """

    target: Target
    check: HealthCheck
    wanted: Literal["in", "out"] = "in"
    admitted: bool = False
    ramps: bool = False
    since: StoredStamp

    @property
    def phase(self) -> TargetPhase:
        """The phase that follows from `wanted` and `admitted`."""
        if self.wanted == "out":
            return TargetPhase.DRAINING
        return TargetPhase.IN_SERVICE if self.admitted else TargetPhase.INITIAL

    def is_checked(self, group: TargetGroup) -> bool:
        """Return whether the group still has this target's health check. Interval and thresholds may differ."""
        now, then = group.health_check, self.check
        return now is then or (now.protocol, now.path, now.host, now.matcher, now.timeout) == (
            then.protocol,
            then.path,
            then.host,
            then.matcher,
            then.timeout,
        )

    def leaving(self, at: Stamp) -> Registration:
        """Return the registration draining, or itself if it is already."""
        return self if self.wanted == "out" else self.model_copy(update={"wanted": "out", "since": at})

    def without_zone(self) -> Registration:
        """Return the registration of the same target in no zone."""
        return self.model_copy(update={"target": self.target.model_copy(update={"zone": None})})

    def with_admitted(self, admitted: bool, at: Stamp) -> Registration:
        """Return the registration admitted or not, or itself if unchanged. `since` stays if the target is leaving."""
        if admitted == self.admitted:
            return self
        since = at if self.wanted == "in" else self.since
        return self.model_copy(update={"admitted": admitted, "since": since})
