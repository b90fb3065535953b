"""The events of a shifting deployment, in plain words."""

from __future__ import annotations

from datetime import timedelta

from pipeline.base.quantity import format_duration
from pipeline.config.mirror import Mirror
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.store.deployment_progress import ServiceProgress, ShiftPhase


class ShiftReport:
    """Emits one event for each step of one service, to release `release`, through the group `alternate`.

    `mirror` says which requests are copied to it before the first step.
    """

    def __init__(self, events: Events, service: str, release: int, alternate: str, mirror: Mirror | None) -> None:
        self._events = events
        self._service = service
        self._release = release
        self._alternate = alternate
        self._mirror = mirror

    def resumed(self, progress: ServiceProgress) -> None:
        """Report that a deployment goes on where a process that died has left it."""
        self._emit(
            EventKind.SHIFT_RESUMED,
            f"{self._name} continues where a process has died: it {progress.describe()}",
            progress,
        )

    def installing(self, replicas: int) -> None:
        """Report that the alternate group is about to be declared."""
        count = "1 container" if replicas == 1 else f"{replicas} containers"
        text = f"{self._name} starts {count} in target group {self._alternate}, which gets no requests yet"
        self._emit(EventKind.SHIFT_INSTALLING, text)

    def installed(self) -> None:
        """Report that all new replicas are healthy."""
        self._emit(EventKind.SHIFT_INSTALLED, f"{self._name} is healthy in {self._alternate}")

    def mirrored(self, summary: str) -> None:
        """Report that no more requests are copied, and what the copies have shown."""
        self._emit(EventKind.SHIFT_MIRRORED, f"{self._name} gets no more copies: {summary}")

    def began(self, progress: ServiceProgress) -> None:
        """Report the start of a phase, which is stored."""
        if self._mirror and progress.phase is ShiftPhase.MIRROR:
            copied, time = self._mirror.describe(), format_duration(progress.bake_time)
            text = f"{self._name} gets copies of {copied} for at least {time}"
            self._emit(EventKind.SHIFT_MIRRORING, text, progress, bake_time=progress.bake_time.total_seconds())
        if progress.phase is ShiftPhase.RETIRE:
            text = f"{self._name} has passed its last step: the previous containers are drained and removed"
            self._emit(EventKind.SHIFT_RETIRING, text, progress)
        if progress.phase is ShiftPhase.HOME:
            text = f"{self._name} moves to its own target group, and {self._alternate} is removed"
            self._emit(EventKind.SHIFT_HOMING, text, progress)
        if progress.phase is ShiftPhase.DONE:
            self._emit(EventKind.SHIFT_FINISHED, f"{self._name} has all requests and is the only one", progress)

    def shifted(self, progress: ServiceProgress, share: float) -> None:
        """Report another share of the alternate group."""
        if progress.phase is ShiftPhase.UNDO:
            self.returned(share)
        elif progress.phase is ShiftPhase.SHIFT:
            text = f"{self._name} gets {share:g} % of the requests, step {progress.step + 1} of {progress.steps}"
            seconds = progress.bake_time.total_seconds()
            self._emit(EventKind.SHIFT_STEP, text + _baking(progress.bake_time), progress, bake_time=seconds)

    def returned(self, share: float = 0.0) -> None:
        """Report that the previous release has its requests back."""
        text = "the previous target group gets all requests again"
        self._events.emit(EventKind.SHIFT_RETURNED, text, service=self._service, share=share)

    def dropped(self) -> None:
        """Report that nothing is left of the alternate group."""
        self._emit(EventKind.SHIFT_REMOVED, f"target group {self._alternate} is removed")

    @property
    def _name(self) -> str:
        return f"{self._service} of release {self._release}"

    def _emit(self, kind: EventKind, text: str, progress: ServiceProgress | None = None, **fields: float) -> None:
        moved = {} if progress is None else {"step": progress.step + 1, "share": progress.share}
        self._events.emit(kind, text, service=self._service, release=self._release, **moved, **fields)


def _baking(bake_time: timedelta) -> str:
    return f", for at least {format_duration(bake_time)}" if bake_time else ""
