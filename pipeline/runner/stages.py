"""New objects of the stages that a configuration names. The shipped ones are found like those of other packages."""

from __future__ import annotations

from typing import Any, cast

from pydantic import ValidationError

from pipeline.api import Builder, Deployer, Source, StageContext
from pipeline.base.errors import ConfigError
from pipeline.config import models
from pipeline.config.load import Configuration
from pipeline.config.release import service_settings
from pipeline.config.service import ServiceSettings
from pipeline.config.stages import find_stage


def load_source(configuration: Configuration) -> Source:
    """Return a new object of the Source stage. Raises `ConfigError` if it is not installed."""
    return cast("Source", _load("source", configuration.pipeline.source))


def load_builder(configuration: Configuration) -> Builder:
    """Return a new object of the Build stage. Raises `ConfigError` if it is not installed."""
    return cast("Builder", _load("build", configuration.pipeline.build))


def load_deployer(context: StageContext) -> Deployer:
    """Return a new object of the Deploy stage. Raises `ConfigError` if it is not installed.

    The active release stays with the stage that deployed it, also if pipeline.yaml names another by now.
    """
    return cast("Deployer", _load("deploy", _active_deploy(context) or context.configuration.pipeline.deploy))


def check_deployer(context: StageContext) -> None:
    """Raise `ConfigError` if the active release was deployed by another stage: it could not be replaced."""
    if active := _active_deploy(context):
        raise ConfigError(
            f"deploy.uses was {active.uses} and is {context.configuration.pipeline.deploy.uses} now: a stage cannot "
            "replace the release of another",
            hint="keep the stage, or run `pipeline down` first",
        )


def _active_deploy(context: StageContext) -> ServiceSettings | None:
    """Return the settings of the active release if they name another stage than the configuration."""
    pipeline = context.configuration.pipeline
    active = context.store.releases.active(pipeline.name)
    deploy = service_settings(active.spec) if active else None
    return deploy if deploy and deploy.uses != pipeline.deploy.uses else None


def _load(section: str, settings: models.Source | models.Build | ServiceSettings) -> Any:
    stage = find_stage(section, settings.uses)
    options = getattr(stage, "Options", None)
    if options is None:
        return stage()
    try:
        return stage(options.model_validate(settings.options))
    except ValidationError as error:
        # pipeline.yaml was validated when it was read. A release may be older than the installed stage.
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{section}.with does not fit the installed stage {settings.uses}: {key}: {first['msg']}"
        ) from None
