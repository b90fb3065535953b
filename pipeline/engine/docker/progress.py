"""The plain progress of BuildKit: the step that failed, and its last lines."""

from __future__ import annotations

import re
from collections import defaultdict, deque

from pipeline.base.errors import CacheVanished, EngineFault, StageFailed
from pipeline.engine.docker.dockerfile_versions import version_hint
from pipeline.engine.docker.faults import MAKE_ROOM, VANISHED

_TAIL = 20
_STEPS_KEPT = 200
_NUMBERED = re.compile(r"#(\d+) (.*)")
_OUTPUT = re.compile(r"\d+\.\d+ (.*)")
# A build fails with one of these lines, whose last part is the cause.
_FAILURE = re.compile(r"(?:ERROR: )?(?:failed to (?:build|solve|load cache key|receive status)\b|executor failed).*")
_PREFIX = re.compile(
    r"^(?:ERROR: |failed to build: |failed to solve(?: with frontend \S+)?: |failed to create LLB definition: |"
    r"failed to read dockerfile: |failed to load cache key: |rpc error: code = \w+ desc = )+"
)
_EXIT_CODE = re.compile(r"exit code: (\d+)\s*$")
_UNREACHABLE = re.compile(
    r"cannot connect to the docker daemon|error during connect|error reading from server|failed to receive status|"
    r"code = Unavailable|connection reset by peer|no active session|unexpected EOF",
    re.IGNORECASE,
)
# The steps that ask a registry.
_REGISTRY = re.compile(r"resolve image config for |\[internal\] load metadata for |\[\S.*\] FROM |resolve \S+@sha256:")
# Lines without information.
_NOISE = re.compile(
    r"#\d+ (sha256:\S+|transferring .*|DONE .*|CACHED|extracting .*|\[internal\] .*|building with .*|\.\.\.)?|-+| > .*"
)
_FRONTEND = re.compile(r"resolve image config for (?:docker-image://)?(\S+)")
_WRONG_PLATFORM = re.compile(r"exec format error", re.IGNORECASE)


class Progress:
    """The output of BuildKit so far, as far as an error needs it."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._outputs: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_TAIL))
        self._last: deque[str] = deque(maxlen=_TAIL)
        self._failed: str | None = None
        self._error = ""

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines of the step that failed, or of the whole build."""
        output = self._outputs.get(self._failed or "")
        return tuple(output or self._last)

    def add(self, line: str) -> None:
        """Add one line of output."""
        if _FAILURE.match(line):
            self._error = line
        elif not _NOISE.fullmatch(line):
            self._last.append(line)
        if match := _NUMBERED.fullmatch(line):
            self._add_to_step(match[1], match[2])

    def _add_to_step(self, number: str, text: str) -> None:
        if number not in self._names:
            if len(self._names) >= _STEPS_KEPT:
                oldest = next(iter(self._names))
                self._outputs.pop(oldest, None)
                del self._names[oldest]
            self._names[number] = text
        elif text.startswith("ERROR"):
            self._failed = number
            self._error = self._error or text
        elif output := _OUTPUT.fullmatch(text):
            self._outputs[number].append(output[1])

    def failure(self, exit_code: int, dockerfile: str) -> StageFailed | EngineFault:
        """Return the error for a build of a Dockerfile of this text that ended with `exit_code`."""
        step = self._names.get(self._failed or "")
        cause = _PREFIX.sub("", self._error) or next((line for line in reversed(self._last) if line.strip()), "")
        if VANISHED.search(cause):
            return CacheVanished()
        code = _EXIT_CODE.search(cause)
        what = f"exit code {code[1]}" if code else cause or f"docker ended with exit code {exit_code}"
        message = f"the build failed{f' in {step}' if step else ''}: {what}"
        text = "\n".join([cause, *self.tail])
        if "no space left" in text.lower():
            return EngineFault(message, hint=MAKE_ROOM, tail=self.tail)
        if _UNREACHABLE.search(cause):
            return EngineFault(message, tail=self.tail)
        if step and not code and _REGISTRY.match(step):
            return EngineFault(message, hint=_registry_hint(step), tail=self.tail)
        return StageFailed(message, hint=_hint(text, dockerfile), tail=self.tail)


def _registry_hint(step: str) -> str:
    if frontend := _FRONTEND.search(step):
        return (
            f"the line `# syntax=` of the Dockerfile needs {frontend[1]} from its registry: make it reachable, or "
            "remove the line to use the syntax that Docker has built in"
        )
    return "check that the registry can be reached, and that `docker login` was run for it"


def _hint(text: str, dockerfile: str) -> str | None:
    if _WRONG_PLATFORM.search(text):
        return "this machine cannot run programs of that platform: see build.platforms, or install an emulator"
    return version_hint(text, dockerfile)
