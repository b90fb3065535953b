"""The hooks of a service in the plan of its deployment."""

from __future__ import annotations

from pipeline.base.quantity import format_duration
from pipeline.config.hooks import Hook, LifecycleEvent
from pipeline.config.service_spec import ServiceSpec


def planned_hooks(service: ServiceSpec, *events: LifecycleEvent) -> list[str]:
    """Return a step for each hook of some events, in their order."""
    hooks = service.settings.hooks
    return [_step(event, hook) for event in events for hook in hooks.of(event)]


def _step(event: LifecycleEvent, hook: Hook) -> str:
    if not hook.pause:
        return f"{event}: run {hook.describe()}" if not hook.http else f"{event}: call {hook.describe()}"
    after = "roll back" if hook.on_timeout == "rollback" else "continue"
    return f"{event}: wait up to {format_duration(hook.limit)} for `pipeline promote`, then {after}"
