"""The contents of a release: enough to put it into service again, years later, without its commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from pydantic import ConfigDict, model_validator

from pipeline.balancer.model import Declaration, Model, SharedGroup, TargetGroup
from pipeline.config.load import Configuration
from pipeline.config.models import ServiceSettings
from pipeline.config.privileges import NO_PIDS_LIMIT, WITHHELD_CAPABILITIES
from pipeline.config.secrets import Secrets

# Containers of a release of version 1 have Docker's default privileges.
_VERSION_1_LIMITS = {
    "pids_limit": NO_PIDS_LIMIT,
    "cap_add": tuple(sorted(WITHHELD_CAPABILITIES)),
    "cap_drop": (),
    "no_new_privileges": False,
}
_FIELDS = ServiceSettings.model_fields


def _with_services(data: Any) -> Any:
    """Convert a release of version 1: its service is `deploy`, with the number of replicas in it."""
    if not isinstance(data, Mapping) or not isinstance(data.get("deploy"), Mapping):
        return data
    settings = {key: value for key, value in data["deploy"].items() if key != "replicas"} | _VERSION_1_LIMITS
    return {**{key: value for key, value in data.items() if key != "deploy"}, "services": {"web": settings}}


class Services(Model):
    """The services of a release. There is one, `web`."""

    web: ServiceSettings


class ReleaseSpec(Model):
    """An image and its configuration. Secrets are in it by name only.

    The number of replicas is not part of it: see `pipeline.store.services`. A spec of version 1 is read as well.
    """

    version: Literal[2] = 2
    image_id: str
    image_tag: str
    sha: str
    subject: str
    services: Services
    balancer: Declaration | SharedGroup

    _from_version_1 = model_validator(mode="before")(_with_services)

    @classmethod
    def of(cls, configuration: Configuration, *, image_id: str, image_tag: str, sha: str, subject: str) -> ReleaseSpec:
        """Return the release of a pipeline.yaml and an image."""
        return cls(
            image_id=image_id,
            image_tag=image_tag,
            sha=sha,
            subject=subject,
            services=Services(web=configuration.pipeline.deploy.settings),
            balancer=configuration.pipeline.balancer,
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
        has_defaults = all(getattr(self.service, name) == _FIELDS[name].default for name in _VERSION_1_LIMITS)
        unlimited = Services(web=self.service.model_copy(update=_VERSION_1_LIMITS))
        is_same = has_defaults and self.model_copy(update={"services": unlimited}) == former
        return former if is_same and "version" not in json.loads(stored) else self

    @property
    def service(self) -> ServiceSettings:
        """The settings of the only service."""
        return self.services.web

    @property
    def group(self) -> TargetGroup:
        """The target group that its containers join."""
        return self.balancer.target_groups[self.service.target_group]

    def template(self, secrets: Secrets) -> str:
        """Return a hash of everything that a container of this release is made from.

        Containers with the same template are interchangeable. A changed secret replaces them, so its value is hashed
        too: 48 bits of a hash over all of it reveal nothing. The health check is part of it, because a container that
        passed another check has not passed this one.
        """
        group = self.group
        parts: dict[str, Any] = {
            "image": self.image_id,
            # The key of version 1. Another one would replace every container that runs.
            "deploy": {
                **self.service.model_dump(
                    mode="json",
                    include={
                        *("command", "function", "volumes", "memory", "cpus", "stop_grace", "restart", "target_group"),
                    },
                ),
                # Left out unless set, so that the containers of version 0.1.0 keep their hash.
                **self.service.model_dump(
                    mode="json", include={"entrypoint", "init", "shm_size"}, exclude_defaults=True
                ),
            },
            "environment": sorted(secrets.resolve_all(self.service.environment).items()),
            "port": group.port,
            "target_type": group.target_type,
            # Settings that version 0.1.0 did not have count once they are set.
            "health_check": group.health_check.model_dump(mode="json", exclude=_unset(group.health_check, "host")),
        }
        if isinstance(self.balancer, SharedGroup) and self.balancer.forced:
            parts["forced"] = self.balancer.forced
        limits = self.service.model_dump(include=set(_VERSION_1_LIMITS))
        if limits != _VERSION_1_LIMITS:
            parts["limits"] = limits
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def service_settings(stored: str) -> ServiceSettings | None:
    """Return the settings in a stored release, or None if there are none.

    A stage of another package may store other things than `ReleaseSpec` does.
    """
    return _Stored.model_validate_json(stored).services.web


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
    balancer: _StoredGroup = _StoredGroup()

    _from_version_1 = model_validator(mode="before")(_with_services)


def _unset(model: Model, *names: str) -> set[str]:
    return {name for name in names if getattr(model, name) is None}


# The repair loop reads the active release every second.
@lru_cache(maxsize=32)
def _parse(stored: str) -> ReleaseSpec:
    return ReleaseSpec.model_validate_json(stored)
