"""The events of the alarms of a deployment: what decided, and what each condition still needs."""

from __future__ import annotations

from datetime import timedelta

from pipeline.alarms.verdict import Verdict
from pipeline.base.clock import Clock, Stamp
from pipeline.event_kinds import EventKind
from pipeline.events import Events

# Numbers are reported this often at first, and later less often: at most once in a twentieth of the time so far.
_MIN_INTERVAL = timedelta(seconds=10)
_SHARE_OF_TIME = 20


class AlarmEvents:
    """Emits each change of a condition's state at once, and new numbers from time to time."""

    def __init__(self, events: Events, clock: Clock, service: str, release: int) -> None:
        self._events = events
        self._clock = clock
        self._service = service
        self._release = release
        self._began: Stamp | None = None
        self._reported: Stamp | None = None
        self._known: tuple[Verdict, ...] = ()
        self._unreadable = 0

    def on_verdicts(self, verdicts: tuple[Verdict, ...], unreadable: int = 0) -> None:
        """Emit what has changed since the last call. `unreadable`: damaged lines of the access log so far."""
        is_due = self._is_due()
        known = self._known or (None,) * len(verdicts)
        self._known = tuple(
            self._emit(number, verdict, before) if _differs(verdict, before, is_due=is_due) else before or verdict
            for number, (verdict, before) in enumerate(zip(verdicts, known, strict=True), start=1)
        )
        if unreadable > self._unreadable == 0:
            text = f"damaged lines of the access log do not count for the alarms of {self._service}"
            self._events.emit(EventKind.DEPLOYMENT_WARNING, text)
        self._unreadable = unreadable

    def _is_due(self) -> bool:
        now = self._clock.now()
        if self._began is None or self._reported is None:
            self._began = self._reported = now
        if now.since(self._reported) < max(_MIN_INTERVAL, now.since(self._began) / _SHARE_OF_TIME):
            return False
        self._reported = now
        return True

    def _emit(self, number: int, verdict: Verdict, before: Verdict | None) -> Verdict:
        self._events.emit(
            EventKind.ALARM_EVALUATED,
            f"alarm of {self._service}: {verdict.state}, {verdict.text}",
            service=self._service,
            release=self._release,
            condition=number,
            state=verdict.state,
            was=before.state if before else None,
            needed=verdict.needed,
        )
        return verdict


def _differs(verdict: Verdict, before: Verdict | None, *, is_due: bool) -> bool:
    return before is None or verdict.state != before.state or (is_due and verdict.text != before.text)
