"""The lanes of a service: the phases of each of its containers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pipeline.event_kinds import EventKind
from pipeline.events import Event
from pipeline.http.responses.timeline import Lane, LanePhase, TargetPhase
from pipeline.http.timeline.healthy_line import HealthyLine

# An event that is missing here does not change the phase.
_PHASES = {
    EventKind.CONTAINER_STARTING: TargetPhase.STARTING,
    EventKind.TARGET_REGISTERED: TargetPhase.INITIAL,
    EventKind.TARGET_HEALTHY: TargetPhase.HEALTHY,
    EventKind.TARGET_UNHEALTHY: TargetPhase.UNHEALTHY,
    EventKind.TARGET_DRAINING: TargetPhase.DRAINING,
    EventKind.TARGET_FAILED: TargetPhase.FAILED,
    EventKind.CONTAINER_STOPPING: TargetPhase.STOPPING,
    EventKind.CONTAINER_STOPPED: TargetPhase.STOPPED,
}
KINDS = frozenset({*_PHASES, EventKind.CONTAINER_REMOVED})
# A container whose first event is one of these was healthy before.
_OF_HEALTHY = (EventKind.TARGET_DRAINING, EventKind.TARGET_UNHEALTHY)


@dataclass
class _Phase:
    phase: TargetPhase
    started_at: datetime
    finished_at: datetime | None = None


@dataclass
class _Lane:
    release: int
    line: HealthyLine
    phases: list[_Phase] = field(default_factory=list)
    _over: list[LanePhase] = field(default_factory=list)

    @property
    def current(self) -> _Phase | None:
        """The phase that goes on."""
        return self.phases[-1] if self.phases and self.phases[-1].finished_at is None else None

    def enter(self, phase: TargetPhase, at: datetime) -> None:
        """Begin a phase, unless it goes on already."""
        if (current := self.current) is not None:
            if current.phase is phase:
                return
            self.end(at)
        # The wall clock may have been set back meanwhile. Phases do not overlap.
        before = self.phases[-1].finished_at if self.phases else None
        began = max(at, before) if before else at
        self.phases.append(_Phase(phase, began))
        if phase is TargetPhase.HEALTHY:
            self.line.change(began, 1)

    def end(self, at: datetime) -> None:
        """End the phase that goes on."""
        if (current := self.current) is not None:
            current.finished_at = max(at, current.started_at)
            if current.phase is TargetPhase.HEALTHY:
                self.line.change(current.finished_at, -1)

    def responses(self) -> list[LanePhase]:
        """Return the phases. What is over does not change, so it is made once."""
        for phase in self.phases[len(self._over) :]:
            if phase.finished_at is not None:
                self._over.append(LanePhase.model_validate(phase))
        current = self.current
        return [*self._over, LanePhase.model_validate(current)] if current else [*self._over]


class Lanes:
    """The containers of one service, from the events of a run in their order. Those that are healthy go into `line`."""

    def __init__(self, began_at: datetime, line: HealthyLine) -> None:
        self._began_at = began_at
        self._line = line
        self._lanes: dict[str, _Lane] = {}

    def begin(self, at: datetime, present: dict[str, int], *, was_interrupted: bool) -> None:
        """Begin a rollout. `present` are the healthy targets with their releases.

        A healthy container that is not among them has gone. If the run `was_interrupted`, others may have gone too,
        because another process has undone what this one did.
        """
        self._began_at = at
        for name, lane in self._lanes.items():
            current = lane.current
            if current and name not in present and (was_interrupted or current.phase is TargetPhase.HEALTHY):
                lane.end(at)
        for name, release in present.items():
            self._lanes.setdefault(name, _Lane(release, self._line)).enter(TargetPhase.HEALTHY, at)

    def on_event(self, event: Event, target: str, release: int) -> None:
        """Take an event of a target."""
        kind = EventKind(event.kind)
        lane = self._lanes.get(target)
        if lane is None:
            lane = self._lanes[target] = _Lane(release, self._line)
            if kind in _OF_HEALTHY:
                lane.enter(TargetPhase.HEALTHY, min(self._began_at, event.at))
        lane.release = lane.release or release
        if kind is EventKind.CONTAINER_REMOVED:
            lane.end(event.at)
        else:
            lane.enter(_PHASES[kind], event.at)

    def responses(self) -> list[Lane]:
        """Return the lanes that have a phase, in the order in which they appeared."""
        return [
            Lane(
                target=name,
                release=lane.release,
                phases=lane.responses(),
            )
            for name, lane in self._lanes.items()
            if lane.phases
        ]
