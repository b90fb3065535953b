"""Removal of old runs."""

from __future__ import annotations

import shutil
from datetime import timedelta

from pipeline.runner.context import PipelineContext


def prune(context: PipelineContext) -> None:
    """Delete the runs that `retention` does not keep, with their logs and artifacts."""
    retention, name = context.configuration.pipeline.retention, context.pipeline
    since = context.clock.now().wall - timedelta(days=retention.days) if retention.days else None
    for number in context.store.history.prune(name, retention.runs, succeeded=retention.keep_succeeded, since=since):
        context.home.run_log(name, number).unlink(missing_ok=True)
        shutil.rmtree(context.home.run_artifacts(name, number), ignore_errors=True)
