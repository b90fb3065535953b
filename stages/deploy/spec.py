"""What a release consists of: all that is needed to put it into service again, years later, without its commit."""

from __future__ import annotations

import hashlib
import json

from pipeline.balancer.model import Declaration, Model, TargetGroup
from pipeline.base.quantity import resolve_amount
from pipeline.config.load import Configuration
from pipeline.config.models import Deploy
from pipeline.config.secrets import Secrets
from stages.deploy.rolling import DesiredState


class ReleaseSpec(Model):
    """An image and its configuration. Secrets stand in it by name only."""

    image_id: str
    image_tag: str
    sha: str
    subject: str
    deploy: Deploy
    balancer: Declaration

    @classmethod
    def of(cls, configuration: Configuration, *, image_id: str, image_tag: str, sha: str, subject: str) -> ReleaseSpec:
        """The release that a pipeline.yaml and an image make."""
        return cls(
            image_id=image_id,
            image_tag=image_tag,
            sha=sha,
            subject=subject,
            deploy=configuration.pipeline.deploy,
            balancer=configuration.pipeline.balancer,
        )

    @property
    def group(self) -> TargetGroup:
        """The target group that its containers join."""
        return self.balancer.target_groups[self.deploy.target_group]

    def template(self, secrets: Secrets) -> str:
        """Identifies everything a container of this release is made from.

        Containers with the same template are interchangeable: a change of `replicas` keeps them. A changed
        secret does not: so its value goes in, of which nothing can be read back out of 48 bits of a hash over all.
        The health check goes in because what was healthy by another check has proven nothing by this one.
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

    def desired(self, secrets: Secrets) -> DesiredState:
        """What a rollout has to reach for this release."""
        deploy = self.deploy
        return DesiredState(
            template=self.template(secrets),
            replicas=deploy.replicas,
            max_surge=resolve_amount(deploy.rolling.max_surge, deploy.replicas, round_up=True),
            max_unavailable=resolve_amount(deploy.rolling.max_unavailable, deploy.replicas, round_up=False),
            deregistration_delay=self.group.deregistration_delay,
            deploy_timeout=deploy.deploy_timeout,
        )
