"""The stage Build of services: the image of a task definition, which is built elsewhere."""

from __future__ import annotations

from pipeline.api import Checkout, Image, Plan, StageContext
from pipeline.balancer.model import SharedGroup
from pipeline.base.errors import ConfigError, EngineFault, StageFailed
from pipeline.base.quantity import format_duration
from pipeline.config.release import forced_deployments
from pipeline.engine.hosts import local_engine
from pipeline.engine.interfaces import Engine
from pipeline.engine.long_call import long_call


class TaskImage:
    """Finds the image. One that the engine does not have is pulled.

    The name is looked up once for each revision: a name that means another image later changes no running service. A
    forced deployment looks it up again, and pulls it if it can be pulled.
    """

    def build(self, context: StageContext, checkout: Checkout) -> Image:
        """Return the image. Raises `StageFailed` if there is none."""
        pipeline, name = context.configuration.pipeline.name, _name(context)
        _check_secrets(context)
        with local_engine(context.home.id) as engine:
            active = context.store.releases.active(pipeline)
            wanted = context.configuration.pipeline.balancer
            forced = wanted.forced if isinstance(wanted, SharedGroup) else 0
            if active and forced_deployments(active.spec) < forced:
                image = _latest(context, engine, name)
            elif active and active.sha == checkout.revision.sha and engine.images.id(active.image_id):
                image = active.image_id
            else:
                image = engine.images.id(name) or _pulled(context, engine, name)
        context.store.images.pin(pipeline, context.run, image)
        context.report(name)
        return Image(image, name)

    def plan(self, context: StageContext, checkout: Checkout) -> Plan[Image | None]:  # noqa: ARG002
        """Return the name of the image."""
        return Plan([f"use the image {_name(context)}"], None)


def _check_secrets(context: StageContext) -> None:
    """Raise `StageFailed` for a secret without a value, as ECS does before it pulls the image."""
    configuration = context.configuration
    try:
        configuration.secrets.resolve_all(configuration.pipeline.deploy.environment)
    except ConfigError as error:
        raise StageFailed(error.message) from error


def _latest(context: StageContext, engine: Engine, name: str) -> str:
    """Return the image as its registry has it now, or the engine's own if it cannot be pulled."""
    own = engine.images.id(name)
    try:
        return _pulled(context, engine, name)
    except StageFailed as failure:
        if own is None:
            raise
        context.log.line("build", f"{failure.message}; the image that Docker has is used")
        return own


def _name(context: StageContext) -> str:
    name = context.configuration.pipeline.build.options.get("image")
    if not isinstance(name, str):
        raise ConfigError("build._ecs is the build of services that stacks make", hint="remove build.uses")
    return name


def _pulled(context: StageContext, engine: Engine, name: str) -> str:
    """Pull an image and return its id. Raises `Cancelled` as soon as the run is cancelled."""
    context.log.line("build", f"pulling {name}")
    limit = context.configuration.pipeline.build.timeout
    try:
        long_call(engine, lambda images: images.pull(name), limit, context.cancelled)
    except TimeoutError:
        raise StageFailed(f"CannotPullContainerError: {name}: not pulled within {format_duration(limit)}") from None
    except EngineFault as error:
        context.check_cancelled()
        raise StageFailed(f"CannotPullContainerError: {name}: {error.message}") from error
    found = engine.images.id(name)
    if found is None:
        raise StageFailed(f"CannotPullContainerError: {name} was pulled and is not there")
    return found
