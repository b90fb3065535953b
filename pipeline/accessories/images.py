"""The images of accessories, pulled from their registry."""

from __future__ import annotations

from datetime import timedelta

from pipeline.api import StageContext
from pipeline.base.errors import EngineFault, StageFailed
from pipeline.base.quantity import format_duration
from pipeline.engine.interfaces import Engine
from pipeline.engine.long_call import long_call
from pipeline.event_kinds import EventKind

_TIMEOUT = timedelta(minutes=30)


def present_image(context: StageContext, engine: Engine, reference: str) -> str:
    """Return the id of an image, pulled if the engine does not have it. Raises `StageFailed` if that fails."""
    return engine.images.id(reference) or pulled_image(context, engine, reference)


def pulled_image(context: StageContext, engine: Engine, reference: str) -> str:
    """Pull an image and return its id. Raises `StageFailed` if that fails, and `Cancelled`."""
    context.events.emit(EventKind.IMAGE_PULLING, f"pulling {reference}")
    try:
        long_call(engine, lambda images: images.pull(reference), _TIMEOUT, context.cancelled)
    except TimeoutError:
        raise StageFailed(f"image {reference} was still being pulled after {format_duration(_TIMEOUT)}") from None
    except EngineFault as fault:
        reason = f"{fault.message} ({fault.hint})" if fault.hint else fault.message
        hint = "check the name in accessories, and that this machine may pull it"
        raise StageFailed(f"image {reference} cannot be pulled: {reason}", hint=hint) from fault
    found = engine.images.id(reference)
    if found is None:
        raise StageFailed(f"image {reference} is not there after it was pulled")
    return found
