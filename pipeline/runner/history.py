"""What is not kept of runs that are over."""

from __future__ import annotations

import shutil
from datetime import timedelta

from pipeline.runner.context import PipelineContext


def prune(pipeline_context: PipelineContext) -> None:
    """Forget old runs as `retention` says, with their logs and artifacts."""
    retention, name = pipeline_context.configuration.pipeline.retention, pipeline_context.pipeline
    since = pipeline_context.clock.now().wall - timedelta(days=retention.days) if retention.days else None
    for number in pipeline_context.store.history.prune(
        name, retention.runs, succeeded=retention.keep_succeeded, since=since
    ):
        pipeline_context.home.run_log(name, number).unlink(missing_ok=True)
        shutil.rmtree(pipeline_context.home.run_artifacts(name, number), ignore_errors=True)
