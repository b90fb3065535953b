"""Builds by BuildKit, through a docker command."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO

from pipeline.base.errors import Cancelled, ConfigError, EngineFault
from pipeline.base.memory_file import memory_file
from pipeline.engine.builder import BuildSpec
from pipeline.engine.docker.command import BuildKitCommand, forget_commands
from pipeline.engine.docker.faults import TIMEOUT
from pipeline.engine.docker.lines import lines_of
from pipeline.engine.docker.progress import Progress
from pipeline.engine.labels import LABEL_HOME

_POLL_INTERVAL = 0.05
# Seconds from SIGTERM to SIGKILL. BuildKit ends a cancelled build within milliseconds.
_GRACE = 1
_BUILDX_HINT = "install the plug-in docker-buildx for the docker command"


class BuildKitBuilder:
    """Builds with a docker command. The command reads the context folder and applies its `.dockerignore`."""

    skips_unused_stages = True
    knows_own_ignore = True

    def __init__(
        self,
        command: BuildKitCommand,
        reason: str,
        *,
        environment: Mapping[str, str],
        home: str,
        image_id: Callable[[str], str | None],
        many_platforms: Callable[[], bool],
    ) -> None:
        self.description = f"{command.description}{f', because {reason}' if reason else ''}"
        self._command = command
        self._home = home
        self._image_id = image_id
        self._many_platforms = many_platforms
        # Without attestations, the image's id is the same for each image store of Docker.
        self._environment = {**environment, "DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}

    def check(self, spec: BuildSpec) -> None:
        """Raise `ConfigError` if the specification needs what this command cannot do."""
        if not self._command.buildx:
            for source in spec.cache_from:
                registry_reference(source, self._command.description)
            if spec.cache_to:
                raise ConfigError(f"build.cache_to: not possible with {self._command.description}", hint=_BUILDX_HINT)
        if len(spec.platforms) > 1 and not (self._command.buildx and self._many_platforms()):
            raise ConfigError(
                f"build.platforms: only one is possible here, got {', '.join(spec.platforms)}",
                hint="several need the plug-in docker-buildx and Docker's containerd image store",
            )

    def build(
        self, spec: BuildSpec, on_output: Callable[[str], None], cancelled: threading.Event, timeout: timedelta
    ) -> str:
        """Build an image and return its id. The command and the build have ended when this returns or raises."""
        self.check(spec)
        progress = Progress()

        def hear(line: str) -> None:
            progress.add(line)
            on_output(line)

        with ExitStack() as stack:
            # The next build of the pipeline removes it with the context, if this process is killed.
            draft = tempfile.TemporaryDirectory(prefix=f"{spec.context.name}.", dir=spec.context.parent)
            folder = Path(stack.enter_context(draft))
            files = {key: stack.enter_context(memory_file(value.encode())) for key, value in spec.secrets.items()}
            secrets = [f"id={key},src={file}" for key, file in files.items()]
            arguments = self._arguments(spec, folder / "id", secrets)
            exit_code = self._run(arguments, hear, cancelled, timeout)
            if exit_code:
                raise progress.failure(exit_code, _text(spec.dockerfile_path))
            return self._built(spec, folder / "id")

    def _arguments(self, spec: BuildSpec, id_file: Path, secrets: list[str]) -> list[str]:
        options: list[tuple[str, str]] = [
            ("--progress", "plain"),
            ("--file", str(spec.dockerfile_path)),
            ("--iidfile", str(id_file)),
            ("--tag", spec.tag),
            *(("--label", f"{key}={value}") for key, value in {**spec.labels, LABEL_HOME: self._home}.items()),
            *(("--build-arg", f"{key}={value}") for key, value in spec.args.items()),
            *(("--secret", secret) for secret in secrets),
            *(("--ssh", agent) for agent in spec.ssh),
            *(("--cache-from", self._cache_source(source)) for source in spec.cache_from),
            *(("--cache-to", target) for target in spec.cache_to),
        ]
        if spec.target:
            options.append(("--target", spec.target))
        if spec.platforms:
            options.append(("--platform", ",".join(spec.platforms)))
        build = ["buildx", "build", "--load"] if self._command.buildx else ["build"]
        build += ["--no-cache"] if spec.no_cache else []
        return [self._command.path, *build, *(f"{name}={value}" for name, value in options), str(spec.context)]

    def _cache_source(self, source: str) -> str:
        return source if self._command.buildx else registry_reference(source, self._command.description)

    def _run(
        self, arguments: list[str], hear: Callable[[str], None], cancelled: threading.Event, timeout: timedelta
    ) -> int:
        process = self._start(arguments)
        assert process.stdout is not None
        reader = _Reader(process.stdout, hear)
        deadline = time.monotonic() + timeout.total_seconds()
        try:
            while not reader.finished(_POLL_INTERVAL):
                if cancelled.is_set():
                    raise Cancelled("cancelled")
                if time.monotonic() > deadline:
                    raise TimeoutError
            return process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            raise EngineFault(f"{arguments[0]} has closed its output and does not end") from None
        finally:
            _end(process)
            reader.join()

    def _start(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                arguments,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # A separate session, so that Ctrl+C reaches the command only through the run, with its plug-ins.
                start_new_session=True,
            )
        except OSError as error:
            forget_commands()
            raise EngineFault(f"cannot start {arguments[0]}: {error.strerror}") from error

    def _built(self, spec: BuildSpec, id_file: Path) -> str:
        """Return the image's id. Some builders of buildx write another digest into the file than the engine reports."""
        written = _text(id_file).strip()
        found = (self._image_id(written) if written else None) or self._image_id(spec.tag)
        if found is None:
            raise EngineFault(f"Docker: the build succeeded, but there is no image {spec.tag}")
        return found


def registry_reference(source: str, builder: str) -> str:
    """Return the image of a cache source, for builders that support images only. Raises `ConfigError`."""
    options = dict(part.partition("=")[::2] for part in source.split(",")) if "=" in source else {"ref": source}
    if options.pop("type", "registry") != "registry" or options.keys() != {"ref"}:
        raise ConfigError(f"build.cache_from: {source} is not possible with {builder}", hint=_BUILDX_HINT)
    return options["ref"]


class _Reader:
    """Passes each line of a pipe to a callback, in a thread. `finished` raises the errors of the callback."""

    def __init__(self, pipe: IO[bytes], hear: Callable[[str], None]) -> None:
        self._pipe = pipe
        self._hear = hear
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="output of a build", daemon=True)
        self._thread.start()

    def finished(self, seconds: float) -> bool:
        """Wait up to `seconds` for the end of the output. Return whether it has ended."""
        self._thread.join(seconds)
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

    def join(self) -> None:
        """Wait for the end of the output of a command that has ended."""
        self._thread.join(_GRACE)

    def _read(self) -> None:
        try:
            with self._pipe as pipe:
                for line in lines_of(iter(lambda: os.read(pipe.fileno(), 65536), b"")):
                    if line.strip():
                        self._hear(line)
        except BaseException as error:  # noqa: BLE001  # `finished` raises it
            self._error = error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command with its plug-ins. BuildKit then ends the build."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
