"""The Build stage: a commit becomes a tested image."""

from __future__ import annotations

from stages.build.stage import DockerBuild

__all__ = ["DockerBuild"]
