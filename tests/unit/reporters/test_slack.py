"""Messages of the Slack reporter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pipeline.reporters import Report
from pipeline.reporters.slack import Slack
from pipeline.store.records import RunState
from tests.unit.reporters.recorder import Recorder

Reports = Callable[..., Report]


def sent_texts(forge: Recorder, *reports: Report, **options: Any) -> list[str]:
    slack = Slack.model_validate({"type": "slack", "url": "${secret:HOOK}", **options})
    for report in reports:
        slack.report(report, lambda text: text.replace("${secret:HOOK}", f"{forge.url}/services/T0/B0/xyz"))
    return [received.data["text"] for received in forge.requests]


def test_a_failure(forge: Recorder, report: Reports) -> None:
    """A message has the event, the reason, the duration, the commit and a link, with Slack's markup escaped."""
    failed = report(RunState.FAILED, reason="exit code <1>")
    failed = replace(failed, run=replace(failed.run, took=timedelta(seconds=83)))
    (text,) = sent_texts(forge, failed, target_url="https://ci.example.com/{run}")
    assert text.splitlines() == [
        ":x: *shop* run 1: failed: exit code &lt;1&gt; (83s)",
        "main `1a2b3c4` Add &lt;carts&gt; &amp; more, by Ada",
        "<https://ci.example.com/1|run 1>",
    ]
    assert forge.requests[0].path == "/services/T0/B0/xyz"


def test_starts_and_skips_are_not_reported_by_default(forge: Recorder, report: Reports) -> None:
    """By default, starts and skipped runs are not reported."""
    texts = sent_texts(forge, *(report(state) for state in RunState))
    assert [text.split(": ")[-1].split(" (")[0].partition("\n")[0] for text in texts] == [
        "succeeded",
        "failed",
        "rolled back",
        "rollback failed",
        "interrupted",
    ]


def test_only_the_configured_states(forge: Recorder, report: Reports) -> None:
    """Only the configured states are reported."""
    (text,) = sent_texts(forge, report(RunState.RUNNING), report(RunState.FAILED), states=["running"])
    assert text.startswith("*shop* run 1: running\n")
