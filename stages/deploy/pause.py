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


def wait_for_promotion(context: StageContext, deployment: Deployment, service: str, name: str, hook: Hook) -> None:
    """Wait until the pause `name` of a service is promoted, or its time-out is over.

    The time counts from the first time that the deployment came here, also in a process that has died. Raises
    `StageFailed` after a time-out that rolls back, and `Cancelled`.
    """
    answers, clock = context.store.deployment_answers, context.clock
    event = name.partition("[")[0]
    description = f"the pause in {event}"
    wait = answers.begin(deployment.id, service, name, description, clock.now(), hook.limit)
    after = "the release is rolled back" if hook.on_timeout == "rollback" else "the deployment continues"
    limit = format_duration(hook.limit)
    context.events.emit(
        EventKind.DEPLOYMENT_WAITING,
        f"{service} waits in {event} up to {limit} for `pipeline promote`; then {after}",
        service=service,
        hook=event,
    )
    while (by := answers.promoted_by(wait)) is None:
        context.check_cancelled()
        if clock.since(wait.since) > hook.limit:
            answers.end(wait)
            if hook.on_timeout == "rollback":
                raise StageFailed(f"{description} of {service} was not ended within {limit}")
            context.events.emit(
                EventKind.DEPLOYMENT_CONTINUED,
                f"{description} of {service} is over after {limit}",
                service=service,
                hook=event,
            )
            return
        clock.wait(context.cancelled, _POLL_INTERVAL)
    answers.end(wait)
    context.events.emit(
        EventKind.DEPLOYMENT_CONTINUED,
        f"{description} of {service} was ended by {by}",
        service=service,
        hook=event,
        by=by,
    )
