"""The accessories of a deployment: they run before its first service, and no deployment replaces one."""

from __future__ import annotations

from pipeline.accessories.accessories import Accessories
from pipeline.accessories.declared import DeclaredAccessories
from pipeline.accessories.drift import describe, describe_undeclared
from pipeline.api import StageContext
from pipeline.engine.interfaces import Engine
from pipeline.event_kinds import EventKind


def start_accessories(context: StageContext, engine: Engine) -> None:
    """Start the accessories of pipeline.yaml that do not run, and wait until all are healthy.

    Emits the differences of those that run. Raises `StageFailed` if one does not become healthy, and `Cancelled`.
    """
    declared = DeclaredAccessories(context)
    if not declared.are_used:
        return
    for name, keys in declared.drift().items():
        context.events.emit(EventKind.ACCESSORY_DRIFT, describe(name, keys), accessory=name, keys=", ".join(keys))
    for name in declared.undeclared():
        context.events.emit(EventKind.ACCESSORY_DRIFT, describe_undeclared(name), accessory=name)
    Accessories(context, engine).start()


def plan_accessories(context: StageContext) -> list[str]:
    """Return the accessories that a deployment would start, and the differences that it would leave."""
    declared = DeclaredAccessories(context)
    if not declared.are_used:
        return []
    started = [f"start accessory {name} from {declared.settings[name].image}" for name in declared.to_start()]
    return [*started, *declared.drift_lines()]


def remove_accessories(context: StageContext, engine: Engine) -> list[str]:
    """Stop and remove the containers of all accessories, and return their names. Named volumes stay."""
    return Accessories(context, engine).remove_all() if DeclaredAccessories(context).records() else []
