"""The state that a rollout to a release has to reach."""

from __future__ import annotations

from pipeline.base.quantity import resolve_amount
from pipeline.config.release import ReleaseSpec
from pipeline.config.secrets import Secrets
from stages.deploy.decision import DesiredState


def desired(spec: ReleaseSpec, secrets: Secrets) -> DesiredState:
    """Return the wanted replicas of a release and the limits on the way there."""
    deploy = spec.deploy
    return DesiredState(
        template=spec.template(secrets),
        replicas=deploy.replicas,
        max_surge=resolve_amount(deploy.rolling.max_surge, deploy.replicas, round_up=True),
        max_unavailable=resolve_amount(deploy.rolling.max_unavailable, deploy.replicas, round_up=False),
        deregistration_delay=spec.group.deregistration_delay,
        deploy_timeout=deploy.deploy_timeout,
    )
