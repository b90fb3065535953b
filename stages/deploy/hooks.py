"""The hooks of a service, at the events of its deployment."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pipeline.api import StageContext
from pipeline.balancer.model.alternate_group import TestTraffic
from pipeline.base.errors import StageFailed
from pipeline.config.hooks import Hook, HttpCall, LifecycleEvent
from pipeline.config.service_spec import ServiceSpec
from pipeline.engine.interfaces import Engine
from pipeline.event_kinds import EventKind
from pipeline.store.records import Deployment, ReleaseState
from stages.deploy.hook_call import HookCall
from stages.deploy.host_command import HostCommand
from stages.deploy.image_command import ImageCommand, run_image_command
from stages.deploy.lifecycle import Lifecycle, NoHooks
from stages.deploy.pause import Pause

_STEP = "hook"


class HookFailed(StageFailed):
    """A hook failed, so the release is rolled back. `tail` holds the last lines that it printed."""


@dataclass(frozen=True)
class HookVariables:
    """What a hook gets to know of the deployment.

    `previous_release` is None for the first release. `commit` is the full id of the commit. `test_traffic` says which
    requests reach the new release before those of clients.
    """

    pipeline: str
    service: str
    release: int
    previous_release: int | None
    commit: str
    run: int
    test_traffic: TestTraffic | None = None

    def environment(self, event: LifecycleEvent) -> dict[str, str]:
        """Return the variables of a command. One without a value is empty."""
        found = {f"PENSTOCK_{name.upper()}": value for name, value in self._common(event).items()}
        if self.test_traffic:
            header = self.test_traffic.header
            found["PENSTOCK_TEST_PORT"] = self.test_traffic.port
            found["PENSTOCK_TEST_HEADER"] = f"{header.name}: {header.value}" if header else None
        return {name: "" if value is None else str(value) for name, value in found.items()}

    def data(self, event: LifecycleEvent) -> dict[str, Any]:
        """Return the body of a call."""
        test_traffic = self.test_traffic.model_dump(mode="json") if self.test_traffic else None
        return {**self._common(event), "test_traffic": test_traffic}

    def _common(self, event: LifecycleEvent) -> dict[str, str | int | None]:
        return {
            "event": str(event),
            "pipeline": self.pipeline,
            "service": self.service,
            "release": self.release,
            "previous_release": self.previous_release,
            "commit": self.commit,
            "run": self.run,
        }


class LifecycleHooks:
    """Runs the hooks of a service in one deployment, in their order.

    A deployment that continues after a kill runs the hooks of its last event again, so they must be safe to repeat.
    """

    def __init__(
        self, context: StageContext, engine: Engine, deployment: Deployment, spec: ServiceSpec, variables: HookVariables
    ) -> None:
        self._context = context
        self._engine = engine
        self._deployment = deployment
        self._spec = spec
        self._variables = variables

    def run(self, event: LifecycleEvent, interrupted: threading.Event | None = None) -> None:
        """Run the hooks of an event. Raises `HookFailed` for the first one that fails, and `Cancelled`."""
        context = self._context if interrupted is None else replace(self._context, cancelled=interrupted)
        for index, hook in enumerate(self._spec.settings.hooks.of(event)):
            try:
                self._run(context, event, index, hook)
            except StageFailed as failure:
                raise HookFailed(failure.message, hint=failure.hint, tail=failure.tail) from failure

    def _run(self, context: StageContext, event: LifecycleEvent, index: int, hook: Hook) -> None:
        context.check_cancelled()
        if hook.pause:
            Pause(context, self._deployment, self._spec.name, f"{event}[{index}]", hook).run()
            return
        fields = {"service": self._spec.name, "hook": str(event)}
        text = f"{event} of {self._spec.name}: {hook.describe()}"
        context.events.emit(EventKind.HOOK_STARTED, text, **fields)
        started = context.clock.monotonic()
        noun = f"the hook {event} of {self._spec.name} (`{hook.describe()}`)"
        self._execute(context, event, hook, noun)
        seconds = round(context.clock.monotonic() - started, 3)
        context.events.emit(
            EventKind.HOOK_FINISHED, f"{event} of {self._spec.name} took {seconds:.1f} s", seconds=seconds, **fields
        )

    def _execute(self, context: StageContext, event: LifecycleEvent, hook: Hook, noun: str) -> None:
        if hook.http is not None:
            self._call(context, event, hook, hook.http, noun)
        elif hook.host_command is not None:
            self._run_on_host(context, event, hook, hook.host_command, noun)
        elif hook.command is not None:
            self._run_in_image(context, event, hook, hook.command, noun)

    def _call(self, context: StageContext, event: LifecycleEvent, hook: Hook, wanted: HttpCall, noun: str) -> None:
        secrets, data = context.configuration.secrets, self._variables.data(event)
        call = HookCall(noun, wanted, secrets, data, partial(context.log.line, _STEP))
        call.run(hook.limit, context.clock, context.cancelled)

    def _run_on_host(
        self, context: StageContext, event: LifecycleEvent, hook: Hook, command: tuple[str, ...], noun: str
    ) -> None:
        program = HostCommand(
            noun,
            command,
            context.configuration.directory,
            {**os.environ, **self._variables.environment(event)},
            partial(context.log.line, _STEP),
        )
        program.run(hook.limit, hook.stop_grace, context.cancelled)

    def _run_in_image(
        self, context: StageContext, event: LifecycleEvent, hook: Hook, command: tuple[str, ...], noun: str
    ) -> None:
        environment = {**self._spec.settings.environment, **hook.environment}
        wanted = ImageCommand(
            noun=noun,
            step=_STEP,
            image=self._spec.image_id,
            service=self._spec.settings,
            command=command,
            entrypoint=hook.entrypoint,
            environment={
                **context.configuration.secrets.resolve_all(environment),
                **self._variables.environment(event),
            },
            timeout=hook.limit,
            stop_grace=hook.stop_grace,
        )
        run_image_command(context, self._engine, self._variables.release, wanted)


def lifecycle_hooks(context: StageContext, engine: Engine, spec: ServiceSpec, release: int) -> Lifecycle:
    """Return the hooks of a service in the deployment in progress.

    There are none for a release that has been active before, as for the release command. So a rollback, a restart, a
    repair and a changed number of replicas run none.
    """
    if not any(spec.settings.hooks.all()):
        return NoHooks()
    pipeline = context.configuration.pipeline.name
    found = context.store.releases.get(pipeline, release)
    deployment = context.store.deployments.open(pipeline)
    if found is None or found.state is not ReleaseState.PENDING or deployment is None:
        return NoHooks()
    strategy = spec.settings.strategy
    variables = HookVariables(
        pipeline,
        spec.name,
        release,
        deployment.from_release,
        found.sha,
        context.run,
        strategy.test_traffic if strategy else None,
    )
    return LifecycleHooks(context, engine, deployment, spec, variables)
