"""The services of a run: their containers, the healthy targets, the traffic that moves, and the alarms."""

from __future__ import annotations

from datetime import datetime

from pipeline.engine.labels import DEFAULT_SERVICE
from pipeline.event_kinds import EventKind
from pipeline.events import Event
from pipeline.http.responses.timeline import SharePoint, TimelineAlarm, TimelineService
from pipeline.http.timeline import lanes
from pipeline.http.timeline.fields import decimal, number, optional_number, text
from pipeline.http.timeline.healthy_line import HealthyLine
from pipeline.http.timeline.lanes import Lanes

_WITHOUT_REQUESTS = (EventKind.SHIFT_INSTALLING, EventKind.SHIFT_RETURNED, EventKind.SHIFT_MIRRORING)
_SHARES = (*_WITHOUT_REQUESTS, EventKind.SHIFT_STEP, EventKind.SHIFT_RETIRING, EventKind.BAKE_STARTED)
_ALL = 100.0


class _Service:
    def __init__(self, name: str, began_at: datetime) -> None:
        self.name = name
        self.release = 0
        self.replicas: int | None = None
        self.line = HealthyLine()
        self.lanes = Lanes(began_at, self.line)
        self.shares: list[SharePoint] = []
        self.alarms: dict[int, TimelineAlarm] = {}

    def begin(self, event: Event, *, was_interrupted: bool) -> None:
        """Take the start of a rollout."""
        self.release, self.replicas = number(event, "release"), number(event, "replicas")
        self.line.floor(event.at, number(event, "floor"))
        self.lanes.begin(event.at, _targets(text(event, "targets")), was_interrupted=was_interrupted)

    def share(self, event: Event) -> None:
        """Take a change of the share of the requests."""
        if event.kind in _WITHOUT_REQUESTS:
            share, step = 0.0, None
        elif event.kind == EventKind.SHIFT_STEP:
            share, step = decimal(event, "share"), number(event, "step")
        else:
            share, step = _ALL, None
        bake_time = decimal(event, "bake_time")
        if self.shares and self.shares[-1].share == share and not bake_time:
            return
        self.shares.append(SharePoint(at=event.at, share=share, step=step, bake_time=bake_time))

    def alarm(self, event: Event) -> None:
        """Take the numbers of a condition."""
        condition, state = number(event, "condition"), text(event, "state")
        before = self.alarms.get(condition)
        self.alarms[condition] = TimelineAlarm(
            condition=condition,
            release=number(event, "release"),
            state=state,
            text=event.message.partition(f"{state}, ")[2] or event.message,
            needed=optional_number(event, "needed"),
            since=before.since if before and before.state == state else event.at,
            evaluated_at=event.at,
        )

    def response(self) -> TimelineService:
        """Return the service for programs."""
        return TimelineService(
            name=self.name,
            release=self.release,
            replicas=self.replicas,
            lanes=self.lanes.responses(),
            healthy=self.line.points(),
            shares=self.shares,
            alarms=[self.alarms[condition] for condition in sorted(self.alarms)],
        )


class Services:
    """The services whose containers a run has replaced, from its events in their order."""

    def __init__(self, began_at: datetime) -> None:
        self._began_at = began_at
        self._services: dict[str, _Service] = {}
        self._was_interrupted: set[str] = set()

    def on_event(self, event: Event) -> None:
        """Take an event."""
        kind = event.kind
        if kind == EventKind.RUN_INTERRUPTED:
            self._was_interrupted = {*self._services}
        elif kind == EventKind.DEPLOYMENT_STARTED:
            self._began_at = event.at
        elif kind == EventKind.ROLLOUT_STARTED:
            service = self._service(event)
            service.begin(event, was_interrupted=service.name in self._was_interrupted)
            self._was_interrupted.discard(service.name)
        elif kind in lanes.KINDS and (target := text(event, "target")):
            self._service(event).lanes.on_event(event, target, number(event, "release"))
        elif kind in _SHARES:
            self._service(event).share(event)
        elif kind == EventKind.ALARM_EVALUATED:
            self._service(event).alarm(event)
        elif kind == EventKind.SHIFT_MIRRORED:
            # The conditions on copies are others than those that follow.
            self._service(event).alarms.clear()

    def _service(self, event: Event) -> _Service:
        # An event of a previous version does not name the service of a target.
        name = text(event, "service") or next(iter(self._services), DEFAULT_SERVICE)
        return self._services.setdefault(name, _Service(name, self._began_at))

    def responses(self) -> list[TimelineService]:
        """Return the services in the order in which they began."""
        return [service.response() for service in self._services.values()]


def _targets(listed: str) -> dict[str, int]:
    """Return the targets of `TARGET=RELEASE TARGET=RELEASE`."""
    pairs = (each.rpartition("=") for each in listed.split())
    return {name: int(release) for name, _, release in pairs if name and release.isdecimal()}
