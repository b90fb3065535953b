"""The pause of a hook: the deployment waits for `pipeline promote`."""

from __future__ import annotations

from datetime import timedelta

from pipeline.api import StageContext
from pipeline.base.errors import StageFailed
from pipeline.base.quantity import format_duration
from pipeline.config.hooks import Hook
from pipeline.event_kinds import EventKind
from pipeline.store.records import Deployment

_POLL_INTERVAL = timedelta(seconds=0.25)


class Pause:
    """The pause `name` of a service, such as `AfterInstall[0]`."""

    def __init__(self, context: StageContext, deployment: Deployment, service: str, name: str, hook: Hook) -> None:
        self._context = context
        self._answers = context.store.deployment_answers
        self._deployment = deployment
        self._service = service
        self._name = name
        self._event = name.partition("[")[0]
        self._description = f"the pause in {self._event}"
        self._hook = hook

    def run(self) -> None:
        """Wait until it is promoted, or its time-out is over.

        The time counts from the first time that the deployment came here, also in a process that has died. Raises
        `StageFailed` after a time-out that rolls back, and `Cancelled`.
        """
        clock, limit = self._context.clock, self._hook.limit
        wait = self._answers.begin(
            self._deployment.id, self._service, self._name, self._description, clock.now(), limit
        )
        self._emit_waiting()
        while (by := self._answers.promoted_by(wait)) is None:
            self._context.check_cancelled()
            if clock.since(wait.since) > limit:
                self._answers.end(wait)
                self._end_by_time()
                return
            clock.wait(self._context.cancelled, _POLL_INTERVAL)
        self._answers.end(wait)
        self._emit(EventKind.DEPLOYMENT_CONTINUED, f"{self._description} of {self._service} was ended by {by}", by=by)

    def _emit_waiting(self) -> None:
        rolls_back, limit = self._hook.on_timeout == "rollback", format_duration(self._hook.limit)
        after = "the release is rolled back" if rolls_back else "the deployment continues"
        text = f"{self._service} waits in {self._event} up to {limit} for `pipeline promote`; then {after}"
        self._emit(EventKind.DEPLOYMENT_WAITING, text)

    def _end_by_time(self) -> None:
        text, limit = f"{self._description} of {self._service}", format_duration(self._hook.limit)
        if self._hook.on_timeout == "rollback":
            raise StageFailed(f"{text} was not ended within {limit}")
        self._emit(EventKind.DEPLOYMENT_CONTINUED, f"{text} is over after {limit}")

    def _emit(self, kind: EventKind, text: str, **fields: str) -> None:
        self._context.events.emit(kind, text, service=self._service, hook=self._event, **fields)
