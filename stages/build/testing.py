"""The tests of an image, run in a container without privileges that is removed afterwards."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Callable
from contextlib import ExitStack

from pipeline.api import Image, StageContext
from pipeline.base.errors import EngineFault
from pipeline.base.quantity import format_duration
from pipeline.config.steps import Tests
from pipeline.engine.container import ContainerSpec
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, LABEL_RUN, ROLE_TEST
from pipeline.engine.task import Task, TaskResult
from pipeline.event_kinds import EventKind
from stages.build.artifacts import FILES_LIMIT, SIZE_LIMIT, Artifacts, CopyResult
from stages.build.failures import TestsFailed
from stages.build.junit import NotJUnit, TestReport, read_reports
from stages.build.services import Services

_REPORTS_LIMIT = 16 * 2**20
_NAMES = 20


class ImageTests:
    """The tests of a run. `run` may be called again."""

    def __init__(self, context: StageContext, engine: Engine, tests: Tests) -> None:
        self._context = context
        self._engine = engine
        self._tests = tests
        self._artifacts = Artifacts(context.home.run_artifacts(context.configuration.pipeline.name, context.run))

    def run(self, image: Image, attempt: int = 1) -> TestReport | None:
        """Run the tests and return their report, if there is one.

        Raises `TestsFailed` when they fail or do not end, `ServiceFailed` when what they need is not there, and
        `Cancelled`.
        """
        with ExitStack() as stack:
            network: str = self._tests.network
            watch: Callable[[], None] = _nothing_else
            if self._tests.services:
                services = stack.enter_context(Services(self._context, self._engine, self._tests.services))
                network, watch = services.network, services.check
            task = stack.enter_context(Task(self._engine.containers, self._spec(image, network), self._on_output))
            end = task.wait(self._tests.timeout, self._tests.stop_grace, self._context.cancelled, watch)
            for path in self._tests.artifacts:
                self._keep(task, path, attempt)
            if end.exit_code != 0:
                watch()
            return self._judge(task, end)

    def _spec(self, image: Image, network: str) -> ContainerSpec:
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
            network=network,
            drop_capabilities=True,
            low_priority=True,
        )

    def _on_output(self, line: str) -> None:
        self._context.log.line("test", line)

    def _judge(self, task: Task, end: TaskResult) -> TestReport | None:
        report = self._report(task)
        if not end.in_time:
            limit = format_duration(self._tests.timeout)
            raise TestsFailed(f"the tests were still running after {limit}: stopped", tail=task.tail)
        if end.oom_killed:
            memory = self._tests.memory >> 20
            raise TestsFailed(f"the tests used more than {memory} MiB (build.test.memory): killed", tail=task.tail)
        if end.exit_code != 0:
            names = _listing(report.failed) if report else ""
            raise TestsFailed(f"the tests failed with exit code {end.exit_code}{names}", tail=task.tail)
        return report

    def _report(self, task: Task) -> TestReport | None:
        if self._tests.reports is None:
            return None
        warn: Callable[[str], None] = lambda text: self._context.events.emit(EventKind.BUILD_WARNING, text)  # noqa: E731
        archive = self._engine.containers.archive(task.container, self._tests.reports, _REPORTS_LIMIT)
        if archive is None:
            warn(f"the tests left no report at {self._tests.reports}, or one of more than {_REPORTS_LIMIT >> 20} MiB")
            return None
        try:
            return read_reports(archive)
        except NotJUnit as error:
            warn(f"the test report cannot be read: {error}")
            return None

    def _keep(self, task: Task, path: str, attempt: int) -> None:
        """Keep one artifact. A failure to keep it is reported, and does not fail the tests."""
        try:
            kept = self._artifacts.keep(path, self._engine.containers.tar(task.container, path), attempt)
        except EngineFault as error:
            self._context.events.emit(
                EventKind.ARTIFACT_WARNING, f"{path} could not be kept: {error.message}", path=path
            )
            return
        for warning in _warnings(path, kept):
            self._context.events.emit(EventKind.ARTIFACT_WARNING, warning, path=path)
        if kept.files:
            text = f"kept {path}: {_count(kept.files, 'file')}, {kept.size / 1e6:.1f} MB"
            self._context.events.emit(EventKind.ARTIFACT_KEPT, text, path=path, files=kept.files, size=kept.size)


def _nothing_else() -> None:
    """Watch nothing: there are no services."""


def _warnings(path: str, kept: CopyResult) -> list[str]:
    warnings = []
    if kept == CopyResult():
        warnings.append(f"the tests left nothing at {path}")
    if kept.left_out:
        warnings.append(f"{_count(kept.left_out, 'entry', 'entries')} of {path} left out: only regular files are kept")
    if kept.cut:
        warnings.append(
            f"{path} is not kept whole: a run's artifacts may have {SIZE_LIMIT >> 20} MiB and {FILES_LIMIT} files"
        )
    return warnings


def _count(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def _listing(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return f": {', '.join(names[:_NAMES])}{more}" if names else ""
