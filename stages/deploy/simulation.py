"""The plan of a rollout: the strategy, run against a simulation in which every action succeeds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.balancer.model import TargetState
from stages.deploy.decision import (
    ActionType,
    ContainerState,
    DesiredState,
    Observation,
    Replica,
    RolloutAction,
    Strategy,
)
from stages.deploy.planned_placement import PlannedPlacement

# More than any rollout takes. A plan that does not converge ends here.
_MAX_ROUNDS = 10_000
_STEP_TEXTS = {
    ActionType.START: "start {}",
    ActionType.DEREGISTER: "drain {}",
    ActionType.STOP: "stop {}",
}


@dataclass(frozen=True)
class RolloutPlan:
    """The steps in order, the lowest number of healthy targets and the highest number of containers."""

    steps: tuple[str, ...]
    lowest_healthy: int
    most_running: int


def simulate(
    seen: Observation, desired: DesiredState, strategy: Strategy, placement: PlannedPlacement | None = None
) -> RolloutPlan:
    """Simulate the rollout until it converges. `placement` chooses a host for each new replica."""
    world = {r.name: r for r in seen.replicas}
    steps: list[str] = []
    lowest = sum(r.healthy for r in seen.replicas)
    most = sum(r.is_running for r in seen.replicas)
    for _ in range(_MAX_ROUNDS):
        decision = strategy.decide(Observation(tuple(world.values())), desired)
        if decision.converged:
            break
        for action in decision.actions:
            name = action.name or f"new-{sum(s.startswith('start') for s in steps) + 1}"
            place = f" in {action.zone}" if action.zone else ""
            if placement and action.verb is ActionType.START:
                host = placement.place(name, desired.template, action.zone)
                action = replace(action, zone=host.zone if host and action.zone else None)
                place = f" on {host.name}{f' in {host.zone}' if action.zone else ''}" if host else ""
            elif placement and action.verb is ActionType.REMOVE:
                placement.remove(name)
            _play(world, action, name, desired)
            if action.verb in _STEP_TEXTS:
                steps.append(_STEP_TEXTS[action.verb].format(name) + place)
        for name, replica in world.items():
            if replica.is_draining:
                # Its requests in flight finish.
                world[name] = replace(replica, in_flight=0)
            if replica.target is TargetState.INITIAL:
                world[name] = replace(replica, target=TargetState.HEALTHY)
                steps.append(f"wait until {name} is healthy")
        lowest = min(lowest, sum(r.healthy for r in world.values()))
        most = max(most, sum(r.is_running for r in world.values()))
    return RolloutPlan(tuple(steps), lowest, most)


def _play(world: dict[str, Replica], action: RolloutAction, name: str, desired: DesiredState) -> None:
    match action.verb:
        case ActionType.START:
            world[name] = Replica(name, desired.template, ContainerState.RUNNING, started_here=True, zone=action.zone)
        case ActionType.REGISTER:
            world[name] = replace(world[name], target=TargetState.INITIAL)
        case ActionType.SET_RESTART_POLICY:
            world[name] = replace(world[name], restart_policy_set=True)
        case ActionType.DEREGISTER:
            world[name] = replace(world[name], target=TargetState.DRAINING, in_flight=0)
        case ActionType.ABORT:
            world[name] = replace(world[name], in_flight=0)
        case ActionType.STOP:
            world[name] = replace(world[name], container=ContainerState.EXITED)
        case ActionType.REMOVE:
            del world[name]
