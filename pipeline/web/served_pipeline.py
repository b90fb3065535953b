"""The pipeline that the address of a page names."""

from __future__ import annotations

from pipeline.runner.context import PipelineContext
from pipeline.web.page import PageMissing
from pipeline.web.reports import WebReports


def served_context(reports: WebReports, pipeline: str) -> PipelineContext:
    """Return what the daemon works with. Raises `PageMissing` if it does not manage the pipeline."""
    supervisor = reports.control.supervisors.get(pipeline)
    if supervisor is None:
        raise PageMissing(f"the daemon does not manage {pipeline[:200]}")
    return supervisor.served_file.pipeline_context
