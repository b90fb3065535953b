"""The choice of a builder for an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from pipeline.engine.builder import ImageBuilder
from pipeline.engine.docker.buildkit import BuildKitBuilder
from pipeline.engine.docker.classic import ClassicBuilder
from pipeline.engine.docker.command import find_buildkit
from pipeline.engine.docker.connection import DockerConnection
from pipeline.engine.docker.faults import translate_errors
from pipeline.engine.docker.images import DockerImages
from pipeline.engine.docker.server import is_docker

_OFF = ("0", "false", "f")
# The first version of the API whose sessions BuildKit's clients use.
_BUILDKIT_API = (1, 39)


def choose_builder(
    api: Any,
    environment: Mapping[str, str],
    home: str,
    images: DockerImages,
    connect: Callable[[], AbstractContextManager[DockerConnection]],
) -> ImageBuilder:
    """Return BuildKit through a docker command if one can use it, and otherwise the classic builder."""
    if environment.get("DOCKER_BUILDKIT", "").lower() in _OFF and environment.get("DOCKER_BUILDKIT"):
        return ClassicBuilder(f"DOCKER_BUILDKIT is {environment['DOCKER_BUILDKIT']}", home, connect)
    if tuple(map(int, str(api.api_version).split("."))) < _BUILDKIT_API:
        return ClassicBuilder(f"API version {api.api_version} of the engine has no BuildKit", home, connect)
    if not is_docker(api):
        return ClassicBuilder("the engine is not Docker's, and has no BuildKit", home, connect)
    command, reason = find_buildkit(environment)
    if command is None:
        return ClassicBuilder(reason, home, connect)
    return BuildKitBuilder(
        command,
        reason,
        environment=environment,
        home=home,
        image_id=images.id,
        many_platforms=lambda: _stores_many_platforms(api),
    )


def _stores_many_platforms(api: Any) -> bool:
    """Return whether an image of the engine may have several platforms, as with containerd's image store."""
    with translate_errors(api):
        status = api.info().get("DriverStatus") or []
    return any("io.containerd.snapshotter" in str(value) for value in status)
