"""The Deploy stage: a release takes the place of the former one, or leaves it as it was."""

from __future__ import annotations

from stages.deploy.stage import DockerDeploy

__all__ = ["DockerDeploy"]
