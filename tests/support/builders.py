"""Builders under test: that of a fake engine, and those of the Docker Engine."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.engine.builder import BuildSpec, ImageBuilder
from pipeline.engine.docker.buildkit import BuildKitBuilder
from pipeline.engine.docker.command import BuildKitCommand, find_buildkit
from pipeline.engine.hosts import local_engine
from pipeline.engine.interfaces import Engine
from pipeline.testing.fakes.engine import FakeEngine
from tests.support.docker_home import cleaned
from tests.support.waiting import COMMAND_TIMEOUT

TIMEOUT = timedelta(seconds=60)


@dataclass
class BuilderUnderTest:
    """A builder of a separate home with a context folder. `stall` returns the Dockerfile of an endless build."""

    builder: ImageBuilder
    engine: Engine
    folder: Path
    base: str
    stall: Callable[[str], str]
    is_stalled: Callable[[list[str]], bool]
    lines: list[str] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def build(self, dockerfile: str, timeout: timedelta = TIMEOUT, **options: object) -> str:
        """Build an image from the folder and return its id."""
        return self.builder.build(self.spec(dockerfile, **options), self.lines.append, self.cancelled, timeout)

    def spec(self, dockerfile: str, **options: object) -> BuildSpec:
        """Return the specification of a build. `BASE` in the Dockerfile is the base image."""
        (self.folder / "Dockerfile").write_text(dockerfile.replace("BASE", self.base))
        spec = BuildSpec(self.folder, "Dockerfile", f"penstock/contract-{secrets.token_hex(4)}:1")
        return replace(spec, **options)  # type: ignore[arg-type]

    def files(self, image: str, command: str) -> str:
        """Return the output of a shell command in a container of an image."""
        run = ["docker", "run", "--rm", "--network=none", image, "sh", "-c", command]
        return subprocess.run(run, capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT).stdout


@contextmanager
def fake_builder(folder: Path) -> Iterator[BuilderUnderTest]:
    """Yield the builder of a fake engine."""
    engine = FakeEngine()

    def stall(_: str) -> str:
        engine.faults.hang("builder.build")
        return "FROM app\n"

    yield BuilderUnderTest(engine.builder, engine, folder, "app", stall, bool)


@contextmanager
def docker_builder(kind: str, folder: Path, base: str) -> Iterator[BuilderUnderTest]:
    """Yield a builder of the Docker Engine: `classic`, `command` or `buildx`. Skips the test if Docker has none."""
    home = secrets.token_hex(8)
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"} if kind == "classic" else dict(os.environ)
    with cleaned(home), local_engine(home, environment) as engine:
        builder = engine.builder if kind == "classic" else _buildkit(kind, home, engine)

        def stall(mark: str) -> str:
            return f"FROM {base}\nRUN echo begun && sleep 6{mark}\n"

        yield BuilderUnderTest(
            builder, engine, folder, base, stall, lambda lines: any(line.endswith("begun") for line in lines[-2:])
        )


def _buildkit(kind: str, home: str, engine: Engine) -> BuildKitBuilder:
    command = _buildx() if kind == "buildx" else _old_command()
    if command is None:
        pytest.skip(f"no docker command of the kind {kind}")
    return BuildKitBuilder(
        command,
        "",
        environment=os.environ,
        home=home,
        image_id=engine.images.id,
        many_platforms=lambda: False,
    )


def _buildx() -> BuildKitCommand | None:
    found, _ = find_buildkit(os.environ)
    return found if found and found.buildx else None


def _old_command() -> BuildKitCommand | None:
    """Return a docker command that contains BuildKit's client."""
    for folder in os.get_exec_path():
        path = Path(folder) / "docker"
        if path.exists():
            printed = subprocess.run(
                [path, "--version"], capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT
            ).stdout
            version = re.search(r"version (\d+)", printed)
            if version and 19 <= int(version[1]) < 23:
                return BuildKitCommand(str(path), False, f"docker build with BuildKit ({path})")
    return None
