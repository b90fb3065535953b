"""The accessories of a deployment: they run before its first service, and no deployment replaces one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.accessories.accessories import Accessories
from pipeline.accessories.declared import DeclaredAccessories
from pipeline.accessories.drift import describe, describe_undeclared
from pipeline.accessories.lock import data_locks
from pipeline.api import StageContext
from pipeline.engine.interfaces import Engine
from pipeline.event_kinds import EventKind


def start_accessories(context: StageContext, engine: Engine) -> None:
    """Start the accessories of pipeline.yaml that do not run, and wait until all are healthy.

    Emits the differences of those that run. Raises `StageFailed` if one does not become healthy, and `Cancelled`.
    """
    declared = DeclaredAccessories(context, is_deployment=True)
    if not declared.are_used:
        return
    declared.begin_deployment()
    for name, keys in declared.drift().items():
        context.events.emit(EventKind.ACCESSORY_DRIFT, describe(name, keys), accessory=name, keys=", ".join(keys))
    for name in declared.undeclared():
        context.events.emit(EventKind.ACCESSORY_DRIFT, describe_undeclared(name), accessory=name)
    Accessories(context, engine).start(declared.settings)


def finish_accessories(context: StageContext) -> None:
    """Let the accessories of the file count as declared from now on, also where another file is served.

    A process that is killed before leaves those of the deployment before as well. The next run of the commit deploys it
    again, because `is_current` compares them.
    """
    declared = DeclaredAccessories(context, is_deployment=True)
    if not declared.is_deployed:
        declared.finish_deployment()


def are_current(context: StageContext) -> bool:
    """Return whether the accessories of the file are those of the last deployment, and none is to be started."""
    declared = DeclaredAccessories(context, is_deployment=True)
    return declared.is_deployed and not declared.to_start()


def plan_accessories(context: StageContext) -> list[str]:
    """Return the accessories that a deployment would start, and the differences that it would leave."""
    declared = DeclaredAccessories(context, is_deployment=True)
    if not declared.are_used:
        return []
    started = [f"start accessory {name} from {declared.settings[name].image}" for name in declared.to_start()]
    return [*started, *declared.drift_lines()]


@contextmanager
def unused_data(context: StageContext) -> Iterator[None]:
    """Keep backups and restores away from all accessories. Raises `LockHeld` if one is in progress, and names it."""
    pipeline, names = (
        context.configuration.pipeline.name,
        [each.name for each in DeclaredAccessories(context).records()],
    )
    with data_locks(context.home, pipeline, names, f"`pipeline down` of {pipeline}"):
        yield


def remove_accessories(context: StageContext, engine: Engine) -> list[str]:
    """Stop and remove the containers of all accessories, and return their names. Named volumes stay.

    The caller holds `unused_data`.
    """
    removed = Accessories(context, engine).remove_all() if DeclaredAccessories(context).records() else []
    context.store.accessories.set_deployed(context.configuration.pipeline.name, {})
    return removed
