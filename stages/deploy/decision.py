"""The values of a rollout's decision, and the strategy that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from pipeline.balancer.model import TargetState


class ContainerState(StrEnum):
    """The state of a replica's container. One that the engine restarts counts as running."""

    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True)
class Replica:
    """One container with its target. All ages are worked out, so that a decision needs no clock.

    `template` identifies image and configuration. `target` is None if it is not registered. `started_here` is set if
    this process started it: a replica that was found dead is replaced, but one that this process started fails the
    release. `restart_policy_set` is set once its restart policy is in force, `action_pending` while an action on it has
    not returned.
    """

    name: str
    template: str
    container: ContainerState
    target: TargetState | None = None
    in_flight: int = 0
    not_healthy_for: timedelta = timedelta(0)
    draining_for: timedelta = timedelta(0)
    reason: str = ""
    started_here: bool = False
    restart_policy_set: bool = False
    action_pending: bool = False

    @property
    def is_running(self) -> bool:
        """Return whether it takes room on the machine."""
        return self.container is ContainerState.RUNNING

    @property
    def is_draining(self) -> bool:
        """Return whether it is on its way out, which nothing reverts."""
        return self.target is TargetState.DRAINING

    @property
    def healthy(self) -> bool:
        """Return whether the data plane sends it requests, as far as is known."""
        return self.target is TargetState.HEALTHY and self.is_running


@dataclass(frozen=True)
class Observation:
    """The replicas at one moment, and the number of starts that have not returned yet."""

    replicas: tuple[Replica, ...]
    starting: int = 0


@dataclass(frozen=True)
class DesiredState:
    """The wanted state: `replicas` healthy replicas of `template`, and no others.

    A replica that is found unhealthy may stay so for `unhealthy_timeout` before it is replaced.
    """

    template: str
    replicas: int
    max_surge: int
    max_unavailable: int
    deregistration_delay: timedelta
    deploy_timeout: timedelta
    unhealthy_timeout: timedelta = timedelta(0)

    @property
    def min_healthy(self) -> int:
        """Return the lowest healthy count that a rollout may cause."""
        return max(0, self.replicas - self.max_unavailable)

    @property
    def max_running(self) -> int:
        """Return how many containers may run."""
        return self.replicas + self.max_surge


class ActionType(StrEnum):
    """The steps of a replacement. Each may be repeated."""

    START = "start"
    REGISTER = "register"
    SET_RESTART_POLICY = "settle"
    DEREGISTER = "deregister"
    ABORT = "cut"
    STOP = "stop"
    REMOVE = "remove"


@dataclass(frozen=True)
class RolloutAction:
    """One step. `name` is the replica's; empty for START, which makes a new one."""

    verb: ActionType
    name: str = ""


@dataclass(frozen=True)
class ReplicaFailure:
    """The reason why a release does not work. `name` is the replica that shows it."""

    name: str
    reason: str


@dataclass(frozen=True)
class Decision:
    """The next actions. `converged` if everything is as desired and no action is pending."""

    actions: tuple[RolloutAction, ...] = ()
    failure: ReplicaFailure | None = None
    converged: bool = False


class Strategy(Protocol):
    """The way in which a service moves to a release, and back.

    Pure: no clock, no I/O, and nothing is remembered between two calls. So a process that was killed at any moment is
    continued by the next one, and every situation can be tried in a test.

    What holds after every action, whatever was there before:

    - the rollout never brings the healthy targets below `desired.min_healthy`;
    - running containers never rise above `desired.max_running`;
    - no container is stopped that may get a request, or that has one in flight within its delay;
    - a replica that is not healthy never costs a healthy one of the previous release more than the minimum allows.
    """

    def decide(self, seen: Observation, desired: DesiredState) -> Decision:
        """Return the next actions. A `failure` starts the way back, `converged` ends the rollout."""
