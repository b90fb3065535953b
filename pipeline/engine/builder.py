"""The interface of a builder, which makes an image from a folder with a Dockerfile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from pipeline.base.errors import StageFailed


@dataclass(frozen=True)
class BuildSpec:
    """The specification of a build. `dockerfile` is a path in the folder `context`, and `tag` names the image.

    While it builds, a builder may have files of its own beside the context, with the context's name and a dot.

    `secrets` are values by their id, which steps mount. `ssh`, `cache_from`, `cache_to` and `platforms` are written as
    the options of `docker buildx build`. With `no_cache`, every step runs. A builder uses the
    base images that the engine has.
    """

    context: Path
    dockerfile: str
    tag: str
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    ssh: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    no_cache: bool = False

    @property
    def dockerfile_path(self) -> Path:
        """The Dockerfile itself, where it is a link. Raises `StageFailed` if it is not in the context."""
        path = (self.context / self.dockerfile).resolve()
        if not path.is_relative_to(self.context.resolve()) or not path.is_file():
            raise StageFailed(f"the Dockerfile {self.dockerfile} is not a file of the build context")
        return path


CLASSIC_BUILDER = "the classic builder"
"""The beginning of the description of a builder that is not BuildKit."""


class ImageBuilder(Protocol):
    """A builder of one engine. Built images carry the label of the engine's home. Safe from any thread."""

    @property
    def description(self) -> str:
        """The description of the builder, with the reason for its choice."""

    @property
    def skips_unused_stages(self) -> bool:
        """True if it builds only the stages that the target needs."""

    @property
    def knows_own_ignore(self) -> bool:
        """True if `NAME.dockerignore` beside a Dockerfile NAME takes precedence over the context's `.dockerignore`."""

    def check(self, spec: BuildSpec) -> None:
        """Raise `ConfigError` if the specification needs what this builder cannot do. Changes nothing."""

    def build(
        self, spec: BuildSpec, on_output: Callable[[str], None], cancelled: threading.Event, timeout: timedelta
    ) -> str:
        """Build an image and return its id. `on_output` gets each line of output.

        Raises `ConfigError` as `check` does, `StageFailed` with the last lines if a step fails, `CacheVanished` if the
        next try may succeed, and `EngineFault`. Raises `Cancelled` soon after `cancelled` is set, and `TimeoutError`
        after `timeout`. The build has ended then.
        """
