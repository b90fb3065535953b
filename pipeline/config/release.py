"""The contents of a release: enough to put it into service again, years later, without its commit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from pipeline.balancer.model import Declaration, EndpointsAlone, Model, Name, SharedGroup, Undeclared
from pipeline.config.load import Configuration
from pipeline.config.privileges import VERSION_1_LIMITS
from pipeline.config.run_variables import RunVariables
from pipeline.config.scale_to_zero import with_holding_groups
from pipeline.config.service import ServiceSettings
from pipeline.config.service_spec import ServiceSpec
from pipeline.config.service_variables import with_values_of, with_variables
from pipeline.engine.labels import DEFAULT_SERVICE

_FIELDS = ServiceSettings.model_fields


def _with_services(data: Any) -> Any:
    """Convert a release of version 1: its service is `deploy`, with the number of replicas in it."""
    if not isinstance(data, Mapping) or not isinstance(data.get("deploy"), Mapping):
        return data
    settings = {key: value for key, value in data["deploy"].items() if key != "replicas"} | VERSION_1_LIMITS
    return {**{key: value for key, value in data.items() if key != "deploy"}, "services": {"web": settings}}


class ServiceImage(Model):
    """An image that was not built: its name in pipeline.yaml, and the id that it had when the release was made."""

    name: str
    id: str


class ReleaseSpec(Model):
    """The images and the configuration of all services. Secrets are in it by name only.

    `services` are in the order of a rollout. `images` are those of services that do not run the built one. `shared`
    are the settings of `deploy` itself if there are several services; otherwise those of `web` are. The number of
    replicas is not part of it: see `pipeline.store.services`. A spec of version 1 is read as well.
    """

    version: Literal[2] = 2
    image_id: str
    image_tag: str
    sha: str
    subject: str
    services: dict[Name, ServiceSettings]
    images: dict[Name, ServiceImage] = Field({})
    shared: ServiceSettings | None = None
    balancer: Declaration | SharedGroup | EndpointsAlone | Undeclared

    _from_version_1 = model_validator(mode="before")(_with_services)

    @classmethod
    def of(
        cls,
        configuration: Configuration,
        *,
        image_id: str,
        image_tag: str,
        sha: str,
        subject: str,
        images: Mapping[str, ServiceImage] | None = None,
    ) -> ReleaseSpec:
        """Return the release of a pipeline.yaml, the built image, and the images of services that have another one."""
        deploy = configuration.pipeline.deploy
        return cls(
            image_id=image_id,
            image_tag=image_tag,
            sha=sha,
            subject=subject,
            services=deploy.all_services(),
            images=dict(images or {}),
            shared=deploy.settings if deploy.services else None,
            balancer=with_holding_groups(deploy, configuration.pipeline.balancer),
        )

    @classmethod
    def parse(cls, stored: str) -> ReleaseSpec:
        """Parse a release as stored. The only reader of that form."""
        return _parse(stored)

    def as_stored(self, stored: str) -> ReleaseSpec:
        """Return the stored release of version 1 if it differs from this one only in the default limits, else this one.

        The limits alone must not replace the containers of a release that is only scaled.
        """
        former = ReleaseSpec.parse(stored)
        has_defaults = all(getattr(self.settings, name) == _FIELDS[name].default for name in VERSION_1_LIMITS)
        unlimited = {DEFAULT_SERVICE: self.settings.model_copy(update=VERSION_1_LIMITS)}
        is_same = has_defaults and self.model_copy(update={"services": unlimited}) == former
        return former if is_same and "version" not in json.loads(stored) else self

    def with_variables(self, variables: RunVariables) -> ReleaseSpec:
        """Return the release with the known variables of a run replaced by their values."""
        return self._with_services(lambda _, settings: with_variables(settings, variables))

    def with_values_of(self, stored: ReleaseSpec) -> ReleaseSpec:
        """Return the release with the values that variables of a run have in a stored one."""

        def with_values(name: str | None, settings: ServiceSettings) -> ServiceSettings:
            other = stored.services.get(name) if name else stored.shared
            return with_values_of(settings, other) if other else settings

        return self._with_services(with_values)

    def _with_services(self, change: Callable[[str | None, ServiceSettings], ServiceSettings]) -> ReleaseSpec:
        """Return the release with changed settings of each service, and of `deploy` itself, which has no name."""
        services = {name: change(name, settings) for name, settings in self.services.items()}
        shared = change(None, self.shared) if self.shared else None
        return self.model_copy(update={"services": services, "shared": shared})

    @property
    def settings(self) -> ServiceSettings:
        """The settings of the release as a whole: its stage, its release command, and how many releases are kept."""
        return self.shared or self.services[DEFAULT_SERVICE]

    def service(self, name: str) -> ServiceSpec:
        """Return one service. Raises `KeyError`."""
        settings = self.services[name]
        group = self.balancer.target_groups[settings.target_group] if settings.target_group else None
        image = self.images[name].id if name in self.images else self.image_id
        forced = self.balancer.forced if isinstance(self.balancer, SharedGroup) else 0
        return ServiceSpec(name, image, settings, group, forced)

    def all_services(self) -> tuple[ServiceSpec, ...]:
        """Return all services, in the order of a rollout."""
        return tuple(map(self.service, self.services))

    def replicated_services(self) -> tuple[ServiceSpec, ...]:
        """Return the services that have replicas, in the order of a rollout."""
        return tuple(map(self.service, self.replicated))

    @property
    def replicated(self) -> tuple[str, ...]:
        """The services that have replicas, in the order of a rollout: all but the jobs."""
        return tuple(name for name, settings in self.services.items() if not settings.is_job)

    @property
    def jobs(self) -> tuple[str, ...]:
        """The services that are jobs."""
        return tuple(name for name, settings in self.services.items() if settings.is_job)

    def service_of(self, group: str) -> str | None:
        """Return the service whose containers are the targets of a group, or None."""
        return next((name for name, service in self.services.items() if service.target_group == group), None)

    @model_serializer(mode="wrap")
    def _stored(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        # As earlier versions store the release of one service.
        return {key: value for key, value in data.items() if value or key not in ("shared", "images")}


def service_settings(stored: str) -> ServiceSettings | None:
    """Return the settings in a stored release, or None if there are none.

    A stage of another package may store other things than `ReleaseSpec` does.
    """
    found = _Stored.model_validate_json(stored)
    return found.shared or found.services.web


def service_names(stored: str) -> tuple[str, ...]:
    """Return the names of the services with replicas in a stored release. A release without services is one service."""
    services = json.loads(stored).get("services")
    if not isinstance(services, dict) or not services:
        return (DEFAULT_SERVICE,)
    return tuple(name for name, settings in services.items() if not settings.get("schedule"))


def balanced_services(stored: str) -> tuple[str, ...]:
    """Return the names of the services in a stored release whose containers are targets of a group."""
    services = json.loads(stored).get("services")
    if not isinstance(services, dict) or not services:
        return (DEFAULT_SERVICE,)
    return tuple(name for name, settings in services.items() if settings.get("target_group"))


def forced_deployments(stored: str) -> int:
    """Return the count of forced deployments in a stored release, 0 if it has none."""
    return _Stored.model_validate_json(stored).balancer.forced


class _StoredGroup(Model):
    model_config = ConfigDict(extra="ignore")

    forced: int = 0


class _StoredServices(Model):
    model_config = ConfigDict(extra="ignore")

    web: ServiceSettings | None = None


class _Stored(Model):
    model_config = ConfigDict(extra="ignore")

    services: _StoredServices = _StoredServices()
    shared: ServiceSettings | None = None
    balancer: _StoredGroup = _StoredGroup()

    _from_version_1 = model_validator(mode="before")(_with_services)


# The repair loop reads the active release every second.
@lru_cache(maxsize=32)
def _parse(stored: str) -> ReleaseSpec:
    return ReleaseSpec.model_validate_json(stored)
