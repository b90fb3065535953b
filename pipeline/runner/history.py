"""What is not kept of runs that are over."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

from pipeline.runner.context import Workshop


def prune(workshop: Workshop) -> None:
    """Forget old runs as `retention` says, with their logs and artifacts."""
    retention, name = workshop.configuration.pipeline.retention, workshop.pipeline
    since = datetime.now(UTC) - timedelta(days=retention.days) if retention.days else None
    for number in workshop.store.prune_history(name, retention.runs, succeeded=retention.keep_succeeded, since=since):
        workshop.home.run_log(name, number).unlink(missing_ok=True)
        shutil.rmtree(workshop.home.run_artifacts(name, number), ignore_errors=True)
