"""A target in a group, and how far it has come."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pipeline.balancer.model import HealthCheck, Model, Target, TargetGroup


class TargetPhase(StrEnum):
    """How far a target has come, in one word. Only what is `in_service` may be sent requests."""

    INITIAL = "initial"
    IN_SERVICE = "in_service"
    DRAINING = "draining"


class Registration(Model):
    """A target in a group.

    `wanted` is written by who registers and deregisters, `admitted` by the reconciler alone. `check` is the one it was
    registered under: when the group's check changes in the middle of a deployment, the targets of the previous release
    are no longer checked, instead of failing a check that was never meant for them. `ramps`: others served already when
    it came, so it starts slowly. `since`: when it was registered, admitted or deregistered.
    """

    target: Target
    check: HealthCheck
    wanted: Literal["in", "out"] = "in"
    admitted: bool = False
    ramps: bool = False
    since: datetime

    @property
    def phase(self) -> TargetPhase:
        """What `wanted` and `admitted` come to."""
        if self.wanted == "out":
            return TargetPhase.DRAINING
        return TargetPhase.IN_SERVICE if self.admitted else TargetPhase.INITIAL

    def is_checked(self, group: TargetGroup) -> bool:
        """Return whether the group still asks what this target was registered to answer. The pace may differ."""
        now, then = group.health_check, self.check
        return (now.protocol, now.path, now.matcher, now.timeout) == (
            then.protocol,
            then.path,
            then.matcher,
            then.timeout,
        )

    def leaving(self, at: datetime) -> Registration:
        """Return it on its way out, or itself if it is already."""
        return self if self.wanted == "out" else self.model_copy(update={"wanted": "out", "since": at})

    def with_admitted(self, admitted: bool, at: datetime) -> Registration:
        """Return it admitted or not, or itself if it is so already. `since` stays when the target is leaving."""
        if admitted == self.admitted:
            return self
        since = at if self.wanted == "in" else self.since
        return self.model_copy(update={"admitted": admitted, "since": since})
