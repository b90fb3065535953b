"""One service of a release: everything that its containers are made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pipeline.balancer.model import Model, TargetGroup
from pipeline.config.container_settings import OPTIONAL_SETTINGS
from pipeline.config.privileges import VERSION_1_LIMITS
from pipeline.config.secrets import Secrets
from pipeline.config.service import ServiceSettings


@dataclass(frozen=True)
class ServiceSpec:
    """A service of a release. `group` is the target group that its containers join, or None.

    `forced` counts the deployments that replace all containers although nothing else has changed.
    """

    name: str
    image_id: str
    settings: ServiceSettings
    group: TargetGroup | None
    forced: int = 0

    def template(self, secrets: Secrets) -> str:
        """Return a hash of everything that a container of this service is made from.

        Containers with the same template are interchangeable. A changed secret replaces them, so its value is hashed
        too: 48 bits of a hash over all of it reveal nothing. The health check is part of it, because a container that
        passed another check has not passed this one.
        """
        parts: dict[str, Any] = {
            "image": self.image_id,
            # The key of version 1. Another one would replace every container that runs.
            "deploy": {
                **self.settings.model_dump(
                    mode="json",
                    include={
                        *("command", "function", "volumes", "memory", "cpus", "stop_grace", "restart", "target_group"),
                    },
                ),
                # Left out unless set, so that the containers of version 0.1.0 keep their hash.
                **self.settings.model_dump(
                    mode="json",
                    include={"entrypoint", "init", "shm_size", "swarm", *OPTIONAL_SETTINGS},
                    exclude_defaults=True,
                ),
            },
            "environment": sorted(secrets.resolve_all(self.settings.environment).items()),
            **self._health(),
        }
        if self.forced:
            parts["forced"] = self.forced
        limits = self.settings.model_dump(include=set(VERSION_1_LIMITS))
        if limits != VERSION_1_LIMITS:
            parts["limits"] = limits
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def _health(self) -> dict[str, Any]:
        """Return the parts of the template that say where and how the containers are checked."""
        if self.group is None:
            return {"health_check": self.settings.health_check.model_dump(mode="json")}
        check = self.group.health_check
        return {
            "port": self.group.port,
            "target_type": self.group.target_type,
            # Settings that version 0.1.0 did not have count once they are set.
            "health_check": check.model_dump(mode="json", exclude=_unset(check, "host")),
        }


def _unset(model: Model, *names: str) -> set[str]:
    return {name for name in names if getattr(model, name) is None}
