"""Suspends and resumes the auto scaling of services, for a user."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.base.errors import ConfigError
from pipeline.base.suggestion import did_you_mean
from pipeline.event_kinds import EventKind
from pipeline.events import Events
from pipeline.store.store import Store


def scaled_services(store: Store, pipeline: str, wanted: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the wanted services, by default all that are scaled. Raises `ConfigError` for one that is not."""
    known = tuple(store.scaling.policies(pipeline))
    if not known:
        raise ConfigError(
            f"{pipeline} has no scaled service", hint="add `scaling` to a service in pipeline.yaml and deploy that"
        )
    services = tuple(wanted)
    for service in services:
        if service not in known:
            raise ConfigError(f"{pipeline} has no scaled service {service}", hint=did_you_mean(service, known))
    return services or known


def suspend_scaling(store: Store, events: Events, service: str) -> bool:
    """Keep the number of a scaled service. Returns False if its scaling is suspended already."""
    is_changed = store.scaling.suspend(events.pipeline, service)
    if is_changed:
        events.emit_action(EventKind.SCALING_SUSPENDED, f"scaling of {service} suspended", service=service)
    return is_changed


def resume_scaling(store: Store, events: Events, service: str) -> bool:
    """Scale a service again. Bounds that were missed apply now. Returns False if its scaling is not suspended."""
    is_changed = store.scaling.resume(events.pipeline, service)
    if is_changed:
        events.emit_action(EventKind.SCALING_RESUMED, f"scaling of {service} resumed", service=service)
    return is_changed
