"""Messages in a channel of Slack, or of a service with compatible incoming webhooks, such as Mattermost."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from pipeline.base.quantity import format_duration
from pipeline.reporters.http_post import post
from pipeline.reporters.options import Secret, Url
from pipeline.reporters.report import Report
from pipeline.reporters.reporter import Reporter, ResolveSecrets
from pipeline.store.records import Run, RunState

_SIGNS = {
    RunState.SUCCEEDED: ":white_check_mark:",
    RunState.FAILED: ":x:",
    RunState.ROLLED_BACK: ":leftwards_arrow_with_hook:",
    RunState.ROLLBACK_FAILED: ":rotating_light:",
    RunState.INTERRUPTED: ":warning:",
}
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
State = Literal[
    "running",
    "succeeded",
    "failed",
    "rolled_back",
    "rollback_failed",
    "cancelled",
    "superseded",
    "skipped",
    "interrupted",
]


class Slack(Reporter):
    """Slack, or a service with compatible incoming webhooks."""

    url: Secret = Field(description="URL of the incoming webhook. It grants access, so write ${secret:NAME}.")
    states: tuple[State, ...] = Field(
        ("succeeded", "failed", "rolled_back", "rollback_failed", "interrupted"),
        min_length=1,
        description="States of a run that are reported. `running` is its start.",
    )
    target_url: Url | None = Field(None, description="Link of the message. `{run}` is replaced by the run's number.")

    def report(self, report: Report, reveal: ResolveSecrets) -> None:
        """Send one message of at most three lines."""
        if report.state in self.states:
            post(reveal(self.url), {"text": self._text(report)})

    def _text(self, report: Report) -> str:
        run, sign = report.run, _SIGNS.get(report.state, "") if report.state else ""
        seconds = timedelta(seconds=round(run.duration.total_seconds()))
        took = f" ({format_duration(seconds)})" if run.finished_at else ""
        head = f"{sign} *{run.pipeline}* {report.summary.translate(_ESCAPED)}{took}".strip()
        lines = [head, _revision(run).translate(_ESCAPED)]
        if self.target_url:
            lines.append(f"<{self.target_url.replace('{run}', str(run.number))}|run {run.number}>")
        return "\n".join(filter(None, lines))


def _revision(run: Run) -> str:
    """Return a line such as `main 1a2b3c4 Add carts, by Ada`."""
    words = [run.ref or "", f"`{run.sha[:7]}`" if run.sha else "", run.subject or ""]
    text = " ".join(filter(None, words))
    return f"{text}, by {run.author}" if run.author else text
