"""The image in `deploy.image`, which was built elsewhere. Nothing is built."""

from __future__ import annotations

from pipeline.api import Image, Plan, StageContext
from pipeline.engine.interfaces import Engine
from stages.build.pulls import Pulls

_HINT = "check deploy.image, and that this machine may pull it: docker login"


def take_image(context: StageContext, engine: Engine, name: str) -> Image:
    """Return the image of this name, pulled if it is missing or if the run pulls. Raises `StageFailed`."""
    found = Pulls(context, engine).require(name, f"image {name}", _HINT)
    context.report(f"{name}, built elsewhere")
    return Image(found, name)


def plan_image(context: StageContext, engine: Engine, name: str) -> Plan[Image | None]:
    """Return whether the image would be pulled, and the image if it is there."""
    found = Pulls(context, engine).find(name)
    return Plan([f"use the image {name}" if found else f"pull the image {name}"], Image(found, name) if found else None)
