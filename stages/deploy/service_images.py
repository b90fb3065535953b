"""The images of services that do not run the built one, pulled if they are missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from pipeline.api import Image, StageContext
from pipeline.base.errors import ConfigError, EngineFault, StageFailed
from pipeline.base.quantity import format_duration
from pipeline.config.release import ReleaseSpec, ServiceImage
from pipeline.engine.interfaces import Engine
from pipeline.engine.long_call import long_call
from pipeline.event_kinds import EventKind

_TIMEOUT = timedelta(minutes=10)


def pulled_images(context: StageContext, engine: Engine, image: Image) -> dict[str, ServiceImage]:
    """Return the images, by service. `image` is that of the release, which Build has pulled if it is `deploy.image`.

    Pulls those that are missing, and in a run with `pull` all. Raises `StageFailed` if one cannot be pulled.
    """
    deploy = context.configuration.pipeline.deploy
    wanted = deploy.images()
    for name in dict.fromkeys(wanted.values()):
        if name != deploy.image and (context.options.pull or engine.images.id(name) is None):
            _pull(context, engine, name)
    ids = {name: engine.images.id(name) or "" for name in set(wanted.values())}
    if deploy.image:
        ids[deploy.image] = image.id
    return {service: ServiceImage(name=name, id=ids[name]) for service, name in wanted.items()}


def found_images(context: StageContext, engine: Engine) -> dict[str, ServiceImage]:
    """Return the images, by service, with an empty id for those that are missing."""
    wanted = context.configuration.pipeline.deploy.images()
    return {service: ServiceImage(name=name, id=engine.images.id(name) or "") for service, name in wanted.items()}


def names_of(images: Mapping[str, ServiceImage]) -> dict[str, str]:
    """Return the names of images as they are in pipeline.yaml, by service."""
    return {service: image.name for service, image in images.items()}


def check_images(engine: Engine, release: int, spec: ReleaseSpec) -> None:
    """Raise `ConfigError` if an image of a former release is gone. Its name may be that of another one by now."""
    for image in spec.images.values():
        if engine.images.id(image.id) is None:
            raise ConfigError(
                f"the image {image.name} of release {release} is gone",
                hint=f"Docker has no image {image.id}; run the commit again: pipeline run {spec.sha[:7]}",
            )


def _pull(context: StageContext, engine: Engine, name: str) -> None:
    context.events.emit(EventKind.IMAGE_PULLING, f"pulling {name}")
    try:
        long_call(engine, lambda images: images.pull(name), _TIMEOUT, context.cancelled)
    except TimeoutError:
        raise StageFailed(f"image {name} was still being pulled after {format_duration(_TIMEOUT)}") from None
    except EngineFault as fault:
        reason = f"{fault.message} ({fault.hint})" if fault.hint else fault.message
        hint = "check the name in deploy.services, and that this machine may pull it"
        missing = "is missing and " if engine.images.id(name) is None else ""
        raise StageFailed(f"image {name} {missing}cannot be pulled: {reason}", hint=hint) from fault
