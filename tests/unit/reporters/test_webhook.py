"""The generic webhook sends the whole event, signed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from pipeline.reporters import Report
from pipeline.reporters.webhook import WebhookReporter
from pipeline.store.records import RunState
from tests.unit.reporters.configuration import SHA, TOKEN, reveal
from tests.unit.reporters.recorder import Recorder


def test_the_event_and_the_run(forge: Recorder, report: Callable[..., Report]) -> None:
    """The body has the event and the run at that time."""
    message = report(RunState.FAILED, reason="the tests failed")
    WebhookReporter(type="webhook", url=f"{forge.url}/hook?a=b").report(message, reveal)
    (received,) = forge.requests
    assert (received.method, received.path) == ("POST", "/hook?a=b")
    assert received.headers["X-Penstock-Event"] == "run.finished"
    assert "X-Penstock-Signature-256" not in received.headers
    data = received.data
    assert (data["kind"], data["message"], data["pipeline"]) == ("run.finished", "run 1: failed", "shop")
    assert data["fields"] == {"state": "failed", "reason": "the tests failed"}
    assert data["at"] == message.event.at.isoformat()
    run = data["run"]
    assert (run["number"], run["kind"], run["state"], run["sha"]) == (1, "run", "failed", SHA)
    assert (run["ref"], run["author"], run["subject"]) == ("main", "Ada", "Add <carts> & more")
    assert run["finished_at"] > run["started_at"]


def test_the_signature(forge: Recorder, report: Callable[..., Report]) -> None:
    """The signature is the HMAC of the body as sent."""
    WebhookReporter(type="webhook", url=forge.url, secret="${secret:TOKEN}").report(report(RunState.RUNNING), reveal)
    (received,) = forge.requests
    expected = hmac.new(TOKEN.encode(), received.body, hashlib.sha256).hexdigest()
    assert received.headers["X-Penstock-Signature-256"] == f"sha256={expected}"


def test_the_delivery_has_the_same_id_again(forge: Recorder, report: Callable[..., Report]) -> None:
    """A retry has the same delivery id."""
    webhook, first, second = (
        WebhookReporter(type="webhook", url=forge.url),
        report(RunState.RUNNING),
        report(RunState.RUNNING),
    )
    for message in (first, first, second):
        webhook.report(message, reveal)
    ids = [received.headers["X-Penstock-Delivery"] for received in forge.requests]
    assert ids[0] == ids[1] != ids[2]
