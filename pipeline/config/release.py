"""The contents of a release: enough to put it into service again, years later, without its commit."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from pipeline.balancer.model import Declaration, Model, TargetGroup
from pipeline.config.load import Configuration
from pipeline.config.models import Deploy
from pipeline.config.secrets import Secrets


class ReleaseSpec(Model):
    """An image and its configuration. Secrets are in it by name only."""

    image_id: str
    image_tag: str
    sha: str
    subject: str
    deploy: Deploy
    balancer: Declaration

    @classmethod
    def of(cls, configuration: Configuration, *, image_id: str, image_tag: str, sha: str, subject: str) -> ReleaseSpec:
        """Return the release of a pipeline.yaml and an image."""
        return cls(
            image_id=image_id,
            image_tag=image_tag,
            sha=sha,
            subject=subject,
            deploy=configuration.pipeline.deploy,
            balancer=configuration.pipeline.balancer,
        )

    @classmethod
    def parse(cls, stored: str) -> ReleaseSpec:
        """Return a release as the store holds it. The only reader of that form."""
        return _parse(stored)

    @property
    def group(self) -> TargetGroup:
        """The target group that its containers join."""
        return self.balancer.target_groups[self.deploy.target_group]

    def template(self, secrets: Secrets) -> str:
        """Return a hash of everything that a container of this release is made from.

        Containers with the same template are interchangeable, so a change of `replicas` keeps them. A changed secret
        does not, so its value is hashed too: 48 bits of a hash over all of it reveal nothing. The health check is
        part of it, because a container that passed another check has not passed this one.
        """
        group = self.group
        parts = {
            "image": self.image_id,
            "deploy": self.deploy.model_dump(
                mode="json",
                include={"command", "function", "volumes", "memory", "cpus", "stop_grace", "restart", "target_group"},
            ),
            "environment": sorted(secrets.resolve_all(self.deploy.environment).items()),
            "port": group.port,
            "target_type": group.target_type,
            "health_check": group.health_check.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


# The repair loop reads the active release every second.
@lru_cache(maxsize=32)
def _parse(stored: str) -> ReleaseSpec:
    return ReleaseSpec.model_validate_json(stored)
