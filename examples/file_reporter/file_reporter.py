"""A reporter that appends one JSON object per run to a file."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field

from pipeline.reporters import DeliveryFailed, Report, Reporter, ResolveSecrets


class FileReporter(Reporter):
    """Appends the result of each run to a file."""

    path: str = Field(description="The file. It is created if it does not exist.")

    def report(self, report: Report, reveal: ResolveSecrets) -> None:  # noqa: ARG002  # this reporter has no secrets
        """Append a line when a run is over. Raises `DeliveryFailed` if the file cannot be written."""
        if report.state is None or not report.state.over:
            return
        run = report.run
        line = json.dumps({"pipeline": run.pipeline, "run": run.number, "state": report.state, "sha": run.sha})
        try:
            with Path(self.path).open("a") as file:
                file.write(f"{line}\n")
        except OSError as error:
            raise DeliveryFailed(f"cannot write {self.path}: {error.strerror}", retryable=True) from error
