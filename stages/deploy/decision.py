"""The values of a rollout's decision, and the strategy that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from pipeline.balancer.model import TargetState


class ContainerState(StrEnum):
    """The state of a replica's container. One that the engine restarts counts as running.

    So does one on a lost host whose target is healthy, since the balancer's checks reach it.
    """

    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True)
class Replica:
    """One container with its target. All ages are computed, so a decision needs no clock.

    `template` identifies image and configuration. It is empty if the replica has to be replaced whatever it is made
    from, as on a host that takes no replicas. `made_from` is its template also then. `target` is None if it is not
    registered. `started_here` is True if this process started it: its exit then fails the release, while an older
    replica that has exited is replaced. `restart_policy_set` is True once its restart policy is in force,
    `action_pending` while an action on it runs. `zone` is None if it gets requests from the nodes of all zones.
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
    zone: str | None = None
    made_from: str = ""

    @property
    def is_running(self) -> bool:
        """Return whether its container runs."""
        return self.container is ContainerState.RUNNING

    @property
    def is_draining(self) -> bool:
        """Return whether it is draining, which is never reverted."""
        return self.target is TargetState.DRAINING

    @property
    def healthy(self) -> bool:
        """Return whether it is healthy and gets requests, as last observed."""
        return self.target is TargetState.HEALTHY and self.is_running


@dataclass(frozen=True)
class ReplicaFailure:
    """A new replica that exited or did not become healthy, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Observation:
    """The replicas at one moment, the number of starts that have not returned yet, and the zones of these.

    `failures` are those that this rollout has counted, also of replicas that are gone.
    """

    replicas: tuple[Replica, ...]
    starting: int = 0
    starting_zones: tuple[str | None, ...] = ()
    failures: tuple[ReplicaFailure, ...] = ()


@dataclass(frozen=True)
class DesiredState:
    """The wanted state: `replicas` healthy replicas of `template`, spread over `zones`, and no others.

    A replica that is found unhealthy may stay so for `unhealthy_timeout` before it is replaced. New replicas that fail
    are replaced until there are `failure_threshold` of them. None: the first one fails the rollout.
    """

    template: str
    replicas: int
    max_surge: int
    max_unavailable: int
    deregistration_delay: timedelta
    deploy_timeout: timedelta
    unhealthy_timeout: timedelta = timedelta(0)
    zones: tuple[str, ...] = ()
    failure_threshold: int | None = None

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
    SET_RESTART_POLICY = "set_restart_policy"
    DEREGISTER = "deregister"
    ABORT = "abort"
    STOP = "stop"
    REMOVE = "remove"


@dataclass(frozen=True)
class RolloutAction:
    """One step. `name` is the replica's; empty for START, which makes a new one in `zone`."""

    verb: ActionType
    name: str = ""
    zone: str | None = None


@dataclass(frozen=True)
class RolloutDecision:
    """The next actions. `converged` if everything is as desired and no action is pending.

    `counted` are failures that the next observations must have, whose replicas are replaced. `failure` ends the
    rollout.
    """

    actions: tuple[RolloutAction, ...] = ()
    failure: ReplicaFailure | None = None
    converged: bool = False
    counted: tuple[ReplicaFailure, ...] = ()


class Strategy(Protocol):
    """How a service moves to a release, and back.

    Pure: no clock, no I/O, no state between two calls. So the next process continues after a kill at any moment, and a
    test can try every situation.

    Guarantees after every action, whatever the state before:

    - the rollout never lowers the healthy targets below `desired.min_healthy`;
    - at most `desired.max_running` containers run;
    - no container is stopped while it may get a request, or while it has one in flight within its delay;
    - an unhealthy replica never replaces a healthy one of the previous release beyond that minimum.
    """

    def decide(self, seen: Observation, desired: DesiredState) -> RolloutDecision:
        """Return the next actions. A `failure` starts the rollback. `converged` ends the rollout."""
