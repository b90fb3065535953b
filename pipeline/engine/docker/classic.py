"""Builds by Docker's classic builder, over its API."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

from pipeline.base.errors import CacheVanished, Cancelled, ConfigError, EngineFault, StageFailed
from pipeline.engine.builder import CLASSIC_BUILDER, BuildSpec
from pipeline.engine.docker.buildkit import registry_reference
from pipeline.engine.docker.connection import DockerConnection
from pipeline.engine.docker.context_tar import context_tar, dockerfile_tar
from pipeline.engine.docker.dockerfile_versions import version_hint
from pipeline.engine.docker.faults import build_failed, translate_errors
from pipeline.engine.docker.translation import BUILD_CPU_SHARES
from pipeline.engine.labels import LABEL_HOME, LABEL_STAGES

_TAIL = 20
# Longer lines are passed on in pieces.
_MAX_LINE_LENGTH = 64 * 1024
_POLL_INTERVAL = 0.05
# Seconds to wait for the thread after its connection is closed.
_HANG_UP = 2
_HINT = "this needs BuildKit: install docker-buildx for the docker command"


class ClassicBuilder:
    """Builds over the API of the engine. It supports no secrets, no caches and only one platform."""

    skips_unused_stages = False
    knows_own_ignore = False

    def __init__(self, reason: str, home: str, connect: Callable[[], AbstractContextManager[DockerConnection]]) -> None:
        self.description = f"{CLASSIC_BUILDER}, because {reason}"
        self._home = home
        self._connect = connect

    def check(self, spec: BuildSpec) -> None:
        """Raise `ConfigError` if the specification needs BuildKit."""
        for key, wanted in (("secrets", spec.secrets), ("ssh", spec.ssh), ("cache_to", spec.cache_to)):
            if wanted:
                raise ConfigError(f"build.{key}: not possible with {self.description}", hint=_HINT)
        for source in spec.cache_from:
            registry_reference(source, self.description)
        if len(spec.platforms) > 1:
            platforms = ", ".join(spec.platforms)
            raise ConfigError(
                f"build.platforms: only one is possible with {self.description}, got {platforms}", hint=_HINT
            )

    def build(
        self, spec: BuildSpec, on_output: Callable[[str], None], cancelled: threading.Event, timeout: timedelta
    ) -> str:
        """Build an image and return its id. The build has ended when this returns or raises."""
        self.check(spec)
        built: Future[str] = Future()
        with self._connect() as connection:
            build = _ClassicBuild(connection, self._home, spec, on_output)
            thread = threading.Thread(target=build.run, args=(built,), name="classic build", daemon=True)
            thread.start()
            try:
                deadline = time.monotonic() + timeout.total_seconds()
                while not wait([built], timeout=_POLL_INTERVAL).done:
                    if cancelled.is_set():
                        raise Cancelled("cancelled")
                    if time.monotonic() > deadline:
                        raise TimeoutError
                return built.result()
            finally:
                connection.close()
                thread.join(_HANG_UP)


class _ClassicBuild:
    """One build over its own connection."""

    def __init__(
        self, connection: DockerConnection, home: str, spec: BuildSpec, on_output: Callable[[str], None]
    ) -> None:
        self._connection = connection
        self._api = connection.api
        self._images = connection.images
        self._home = home
        self._spec = spec
        self._on_output = on_output

    def run(self, result: Future[str]) -> None:
        """Build the image, and set its id or the error as the result."""
        try:
            result.set_result(self._build())
        except BaseException as error:  # noqa: BLE001  # `ClassicBuilder.build` raises it
            result.set_exception(error)
        finally:
            self._connection.release()

    def _build(self) -> str:
        """Build the image, then the same image with the labels."""
        spec = self._spec
        existing = self._images.ids()
        ignore = spec.context / ".dockerignore"
        # A link could lead out of the commit.
        is_own = ignore.is_file() and not ignore.is_symlink()
        ignored = self._images.ignores(ignore.read_text(errors="replace") if is_own else "")
        dockerfile = spec.dockerfile_path.relative_to(spec.context.resolve())
        with context_tar(spec.context, {spec.dockerfile, str(dockerfile)}, ignored) as tar:
            stages: list[str] = []
            try:
                self._send(self._on_output, stages, fileobj=tar, custom_context=True, **self._options())
            except BaseException as error:
                self._images.remove_stages(stage for stage in stages if stage not in existing)
                if isinstance(error, StageFailed):
                    error.hint = error.hint or self._hint(error.message)
                raise
        built, own = stages[-1], self._images.own_stages()
        return self._label(built, [s for s in stages if s != built and (s not in existing or s in own)])

    def _hint(self, message: str) -> str | None:
        if "requires BuildKit" in message:
            return _HINT
        return version_hint(message, self._spec.dockerfile_path.read_text(errors="replace"))

    def _options(self) -> dict[str, Any]:
        spec = self._spec
        return {
            "dockerfile": spec.dockerfile,
            "buildargs": dict(spec.args),
            "target": spec.target or "",
            "cache_from": [registry_reference(source, "") for source in spec.cache_from] or None,
            "nocache": spec.no_cache,
            "platform": spec.platforms[0] if spec.platforms else None,
        }

    def _label(self, built: str, stages: list[str]) -> str:
        """Return the image with its labels.

        Each label passed to the builder costs a step. One LABEL instruction costs one step for all of them. It is in a
        second Dockerfile, so the commit's Dockerfile stays unchanged.
        """
        labels = {**self._spec.labels, LABEL_HOME: self._home}
        if stages:
            labels[LABEL_STAGES] = ",".join(stages)
        words = (f"{key}={shlex.quote(value)}" for key, value in labels.items())
        context = dockerfile_tar(f"FROM {built}\nLABEL {' '.join(words)}\n")
        try:
            images: list[str] = []
            self._send(lambda _: None, images, fileobj=context, custom_context=True, tag=self._spec.tag)
            return images[-1]
        except StageFailed as error:
            # If the image was removed in between, the builder fails with a registry error instead.
            if self._images.id(built) is None:
                raise CacheVanished from error
            raise

    def _send(self, on_output: Callable[[str], None], stages: list[str], **request: Any) -> None:
        """Build once. The ids of the images of all stages are added to `stages`, in their order."""
        last, rest = list[str](), ""

        def emit(lines: list[str]) -> None:
            for line in lines:
                if line.strip():
                    last[:] = [*last, line][-_TAIL:]
                    on_output(line)

        with translate_errors(self._api), _refusals_are_failures(last):
            for message in self._api.build(
                **request, container_limits={"cpushares": BUILD_CPU_SHARES}, rm=True, forcerm=True, decode=True
            ):
                # A message may end within a secret, and only whole lines can be masked. So join it with the next one.
                *lines, rest = (rest + str(message.get("stream", ""))).replace("\r\n", "\n").split("\n")
                emit(lines)
                if "error" in message or len(rest) > _MAX_LINE_LENGTH:
                    emit([rest])
                    rest = ""
                if "error" in message:
                    raise build_failed(message["error"], last)
                if stage := message.get("aux", {}).get("ID"):
                    stages.append(stage)
            emit([rest])
        if not stages:
            raise EngineFault("Docker: the builder disconnected before the build finished")


@contextmanager
def _refusals_are_failures(last: list[str]) -> Iterator[None]:
    """Translate Docker's refusal of a build before its first step, such as a syntax error in the Dockerfile."""
    import docker.errors

    try:
        yield
    except docker.errors.APIError as error:
        raise build_failed(str(error.explanation), last) from error
