"""Every event of a run as JSON to a URL."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from pydantic import Field

from pipeline.reporters.http_post import post_bytes
from pipeline.reporters.options import Secret, Url
from pipeline.reporters.report import Report
from pipeline.reporters.reporter import Reporter, ResolveSecrets
from pipeline.store.records import Run


class WebhookReporter(Reporter):
    """Any HTTP endpoint."""

    url: Url = Field(description="URL that receives each event as a POST. May contain ${secret:NAME}.")
    secret: Secret | None = Field(
        None,
        description="Key of the body's signature: `X-Penstock-Signature-256` is sha256= and the HMAC in hex. "
        "Write ${secret:NAME}.",
    )

    def report(self, report: Report, reveal: ResolveSecrets) -> None:
        """Send the event with the run at that time. A retry has the same delivery id."""
        content = json.dumps(_data(report)).encode()
        headers = {"X-Penstock-Event": report.event.kind, "X-Penstock-Delivery": report.id}
        if self.secret:
            digest = hmac.new(reveal(self.secret).encode(), content, hashlib.sha256).hexdigest()
            headers["X-Penstock-Signature-256"] = f"sha256={digest}"
        post_bytes(reveal(self.url), content, headers)


def _data(report: Report) -> dict[str, Any]:
    event = report.event
    return {
        "kind": event.kind,
        "message": event.message,
        "at": event.at.isoformat(),
        "pipeline": event.pipeline,
        "fields": dict(event.fields),
        "run": _run(report.run),
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "number": run.number,
        "kind": run.kind,
        "state": run.state,
        "sha": run.sha,
        "ref": run.ref,
        "author": run.author,
        "subject": run.subject,
        "release": run.release,
        "reason": run.reason,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
    }
