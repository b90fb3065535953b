"""The tests of an image: run in it, in a container that may do little and does not outlive them."""

from __future__ import annotations

import secrets as randomness
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from pipeline.api import Image, StageContext
from pipeline.config.models import Tests
from pipeline.engine.container import ContainerSpec
from pipeline.engine.engine import Engine
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, LABEL_RUN, ROLE_TEST
from pipeline.errors import EngineFault, StageFailed
from pipeline.quantity import format_duration
from stages.build.junit import NotJUnit, TestReport, read_reports

_LOOK = 0.05
_REPORTS_LIMIT = 16 * 2**20
_NAMES = 20
_TAIL = 20


class ImageTests:
    """One run of an image's tests."""

    def __init__(self, context: StageContext, engine: Engine, tests: Tests) -> None:
        self._context = context
        self._engine = engine
        self._tests = tests
        self._tail: deque[str] = deque(maxlen=_TAIL)

    def run(self, image: Image) -> TestReport | None:
        """Returns the report, where there is one. Raises `StageFailed` when they fail or do not end."""
        container = self._engine.containers.start(self._spec(image))
        reader = threading.Thread(target=self._read, args=(container,), name="test-output", daemon=True)
        try:
            reader.start()
            ended = self._await_end(container)
            reader.join(timeout=5)
            return self._judge(container, ended)
        finally:
            self._engine.containers.remove(container)

    def _spec(self, image: Image) -> ContainerSpec:
        pipeline = self._context.configuration.pipeline.name
        return ContainerSpec(
            name=f"{pipeline}.test{self._context.run}.{randomness.token_hex(3)}",
            image=image.id,
            labels={LABEL_PIPELINE: pipeline, LABEL_ROLE: ROLE_TEST, LABEL_RUN: str(self._context.run)},
            entrypoint=(),
            command=self._tests.command,
            environment=self._context.configuration.secrets.resolve_all(self._tests.environment),
            memory=self._tests.memory,
            pids=self._tests.pids,
            network=self._tests.network,
            unprivileged=True,
        )

    def _read(self, container: str) -> None:
        # Whoever waits for the container meets the same fault, and in a place where it can be told.
        with suppress(EngineFault):
            for line in self._engine.containers.stream(container):
                self._tail.append(line)
                self._context.log.line("test", line)

    def _await_end(self, container: str) -> bool:
        """Whether they ended by themselves in time. Ended they are in any case."""
        deadline = time.monotonic() + self._tests.timeout.total_seconds()
        while self._engine.containers.inspect(container).state == "running":
            self._context.check_cancelled()
            if time.monotonic() > deadline:
                self._engine.containers.stop(container, self._tests.stop_grace)
                return False
            self._context.cancelled.wait(_LOOK)
        return True

    def _judge(self, container: str, ended: bool) -> TestReport | None:
        report = self._report(container)
        if not ended:
            raise self._failed(f"the tests were still running after {format_duration(self._tests.timeout)}: stopped")
        end = self._engine.containers.inspect(container)
        if end.oom_killed:
            raise self._failed(f"the tests used more than {self._tests.memory >> 20} MiB (build.test.memory): killed")
        if end.exit_code != 0:
            names = _listing(report.failed) if report else ""
            raise self._failed(f"the tests failed with exit code {end.exit_code}{names}")
        return report

    def _failed(self, message: str) -> StageFailed:
        return StageFailed(message, tail=tuple(self._tail))

    def _report(self, container: str) -> TestReport | None:
        if self._tests.reports is None:
            return None
        tell: Callable[[str], None] = lambda text: self._context.events.emit("build.warning", text)  # noqa: E731
        archive = self._engine.containers.archive(container, self._tests.reports, _REPORTS_LIMIT)
        if archive is None:
            tell(f"the tests left no report at {self._tests.reports}, or one of more than {_REPORTS_LIMIT >> 20} MiB")
            return None
        try:
            return read_reports(archive)
        except NotJUnit as error:
            tell(f"the test report cannot be read: {error}")
            return None


def _listing(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return f": {', '.join(names[:_NAMES])}{more}" if names else ""
