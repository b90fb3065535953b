"""The Deploy stage: a release replaces the active one, or leaves it as it was."""

from __future__ import annotations

from stages.deploy.stage import DockerDeploy

__all__ = ["DockerDeploy"]
