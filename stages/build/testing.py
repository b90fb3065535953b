"""The tests of an image, run in a container without privileges that is removed afterwards."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Callable
from contextlib import ExitStack

from pipeline.api import Image, StageContext
from pipeline.base.errors import EngineFault
from pipeline.config.steps import Tests
from pipeline.engine.container import ContainerSpec
from pipeline.engine.denial import hint_at_denials
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, LABEL_RUN, ROLE_TEST
from pipeline.engine.task import Task, TaskResult
from pipeline.event_kinds import EventKind
from stages.build.artifacts import FILES_LIMIT, SIZE_LIMIT, Artifacts, CopyResult
from stages.build.report import TestReport
from stages.build.services import Services
from stages.build.verdict import check_tests
from stages.build.written_files import WrittenFiles

_WARNINGS = 20
# Failed tests in the message of an event, and in its fields.
_SHOWN, _NAMES = 5, 100


class ImageTests:
    """The tests of a run. `run` may be called again."""

    def __init__(self, context: StageContext, engine: Engine, tests: Tests) -> None:
        self._context = context
        self._engine = engine
        self._tests = tests
        self._artifacts = Artifacts(context.home.run_artifacts(context.configuration.pipeline.name, context.run))

    def run(self, image: Image, attempt: int = 1) -> str:
        """Run the tests and return the counts of their report, with warnings. Empty if there are none.

        Raises `TestsFailed` if they fail or exceed their timeout, `ServiceFailed` if a service fails, and `Cancelled`.
        """
        with ExitStack() as stack:
            network: str = self._tests.network
            watch: Callable[[], None] = _nothing_else
            if self._tests.services:
                services = stack.enter_context(Services(self._context, self._engine, self._tests.services))
                network, watch = services.network, services.check
            spec = self._spec(image, network)
            stack.enter_context(hint_at_denials("build.test", spec.privileges, spec.pids, "pids"))
            task = stack.enter_context(Task(self._engine.containers, spec, self._on_output))
            end = task.wait(self._tests.timeout, self._tests.stop_grace, self._context.cancelled, watch)
            for path in self._tests.artifacts:
                self._keep(task, path, attempt)
            if end.exit_code != 0:
                watch()
            return self._summarize(task, end)

    def _spec(self, image: Image, network: str) -> ContainerSpec:
        pipeline = self._context.configuration.pipeline.name
        return ContainerSpec(
            name=f"{pipeline}.test{self._context.run}.{randomness.token_hex(3)}",
            image=image.id,
            labels={LABEL_PIPELINE: pipeline, LABEL_ROLE: ROLE_TEST, LABEL_RUN: str(self._context.run)},
            entrypoint=self._tests.entrypoint,
            command=self._tests.command,
            environment=self._context.configuration.secrets.resolve_all(self._tests.environment),
            memory=self._tests.memory,
            pids=self._tests.pids,
            init=self._tests.init,
            shm_size=self._tests.shm_size,
            network=network,
            privileges=self._tests.privileges,
            options=self._tests.container_options,
            low_priority=True,
        )

    def _on_output(self, line: str) -> None:
        self._context.log.line("test", line)

    def _summarize(self, task: Task, end: TaskResult) -> str:
        report = self._report(task)
        warnings = check_tests(self._tests, end, report, task.tail)
        for warning in warnings:
            self._warn(warning)
        return "; ".join([str(report)] * (report is not None) + [f"warning: {warning}" for warning in warnings])

    def _report(self, task: Task) -> TestReport | None:
        path = self._tests.reports
        if path is None:
            return None
        # The parser of XML stays out of a daemon whose tests write no reports.
        from stages.build.report_files import ReportFiles

        containers = self._engine.containers
        written = WrittenFiles(containers.changed_paths(task.container), task.inspect(), path)
        report = ReportFiles(written).read(containers.tar(task.container, path))
        if report is None or report.brought:
            brought = f"; {_count(report.brought, 'file')} there came with the image" if report else ""
            if report is None or not (report.tests or report.failed or report.unread):
                self._warn(f"the tests wrote no report at {path}{brought}")
                return None
        self._emit_report(report)
        for reason in report.unread[:_WARNINGS]:
            self._warn(f"test report: {reason}")
        if (more := len(report.unread) - _WARNINGS) and more > 0:
            self._warn(f"test report: {_count(more, 'more file')} not read")
        return report

    def _emit_report(self, report: TestReport) -> None:
        shown, more = report.failed[:_SHOWN], len(report.failed) - _SHOWN
        names = f": {', '.join(shown)}{f' and {more} more' if more > 0 else ''}" if shown else ""
        self._context.events.emit(
            EventKind.TEST_REPORTED,
            f"the report has {report}{names}",
            tests=report.tests,
            failed=len(report.failed),
            skipped=report.skipped,
            names="\n".join(report.failed[:_NAMES]),
        )

    def _warn(self, text: str) -> None:
        self._context.events.emit(EventKind.BUILD_WARNING, text)

    def _keep(self, task: Task, path: str, attempt: int) -> None:
        """Keep one artifact. A failure is reported and does not fail the tests."""
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
    """Do nothing, because there are no services."""


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
