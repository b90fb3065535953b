"""Buttons for runs and deployments: their effect, and the user in it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base.clock import SYSTEM
from pipeline.store.queue import RunRequest
from pipeline.store.records import Deployment, RunState, Trigger
from pipeline.store.web_sessions import Role
from tests.support.web import Browser, WebServer, web_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    with web_server(tmp_path) as found:
        yield found


def press(browser: Browser, path: str, **fields: str) -> str:
    """Press a button without JavaScript, and return the message on the page that follows."""
    done = browser.post(path, fields and {**fields, "csrf": token(browser)})
    assert done.status == 303, done.text
    page = browser.get(done.headers["location"]).text
    found = re.search(r'id="message"[^>]*>(.*?)</div>', page, re.DOTALL)
    assert found
    return html.unescape(re.sub(r"<[^>]*>", " ", found[1])).strip()


def token(browser: Browser) -> str:
    found = re.search(r'<meta name="csrf" content="([^"]*)">', browser.get("/").text)
    assert found
    return found[1]


def wait_for_approval(server: WebServer) -> None:
    server.store.queue.put("shop", [RunRequest(Trigger.COMMAND)])
    server.store.queue.claim("shop", "superseded")
    server.store.queue.await_approval("shop", 1)


def deploy(server: WebServer) -> Deployment:
    """Begin a deployment that waits for a user."""
    server.store.queue.put("shop", [RunRequest(Trigger.COMMAND)])
    server.store.queue.claim("shop", "superseded")
    row = server.store.deployments.begin("shop", 1, None, 1)
    server.store.deployment_answers.begin(row.id, "web", "AfterInstall[0]", "the pause in AfterInstall", SYSTEM.now())
    return row


def approval(server: WebServer) -> tuple[bool, str, str] | None:
    run = server.store.runs.get("shop", 1)
    assert run is not None
    return (run.approval.granted, run.approval.by, run.approval.comment) if run.approval else None


def test_approve(server: WebServer) -> None:
    """A click approves in the name of the user."""
    wait_for_approval(server)
    assert press(server.browser(name="bob"), "/pipelines/shop/runs/1/approve") == "Run 1 is approved."
    assert approval(server) == (True, "bob", "")


def test_reject(server: WebServer) -> None:
    """A rejection has the reason that was typed."""
    wait_for_approval(server)
    message = press(server.browser(), "/pipelines/shop/runs/1/reject", comment=" not today ")
    assert (message, approval(server)) == ("Run 1 is rejected.", (False, "ann", "not today"))


def test_an_approval_that_another_user_has_given(server: WebServer) -> None:
    """The second click changes nothing and says so."""
    wait_for_approval(server)
    press(server.browser(name="bob"), "/pipelines/shop/runs/1/approve")
    message = press(server.browser(name="ann"), "/pipelines/shop/runs/1/reject")
    assert (message, approval(server)) == ("run 1 was approved by bob before", (True, "bob", ""))
    assert press(server.browser(name="bob"), "/pipelines/shop/runs/1/approve") == "Run 1 is approved."


def test_a_cancel_that_comes_too_late(server: WebServer) -> None:
    """Of a run that no worker can stop now, nobody is said to have cancelled it."""
    server.store.queue.put("shop", [RunRequest(Trigger.COMMAND, "main")])
    assert server.store.queue.claim("shop", "queued") is not None
    message = press(server.browser(), "/pipelines/shop/runs/1/cancel")
    run = server.store.runs.get("shop", 1)
    assert run is not None
    assert message.startswith("run 1 is starting or ending")
    assert run.cancelled_by is None


def test_cancel_and_retry(server: WebServer) -> None:
    """A queued run is cancelled by a click, and a new one repeats it."""
    server.store.queue.put("shop", [RunRequest(Trigger.COMMAND, "main")])
    browser = server.browser()
    assert press(browser, "/pipelines/shop/runs/1/cancel") == "Run 1 is being cancelled."
    run = server.store.runs.get("shop", 1)
    assert run is not None
    assert run.state is RunState.CANCELLED
    assert press(browser, "/pipelines/shop/runs/1/retry") == "Run 2 repeats run 1."
    events = {event.kind: event.fields.get("by") for _, event in server.store.events.after("shop", 0)}
    assert events == {"run.cancelled": "ann", "run.queued": "ann"}


def test_promote(server: WebServer) -> None:
    """A click ends the wait of a service."""
    deploy(server)
    message = press(server.browser(), "/pipelines/shop/deployment/promote")
    assert message == "web: the pause in AfterInstall ends, and the deployment continues"
    assert [wait.promoted_by for wait in server.store.deployment_answers.waiting("shop")] == ["ann"]


def test_abort(server: WebServer) -> None:
    """A click rolls the deployment back, with the reason that was typed."""
    row = deploy(server)
    press(server.browser(), "/pipelines/shop/deployment/abort", comment="slow")
    found = server.store.deployment_answers.aborted(row.id)
    assert found is not None
    assert (found.by, found.comment) == ("ann", "slow")


def test_enable(server: WebServer) -> None:
    """A click enables a transition. An unknown stage is refused."""
    server.store.transitions.disable("shop", "deploy", "a freeze")
    browser = server.browser()
    assert press(browser, "/pipelines/shop/transitions/deploy/enable") == "The transition into Deploy is enabled."
    assert server.store.transitions.disabled("shop") == {}
    assert "unknown stage test" in press(browser, "/pipelines/shop/transitions/test/enable")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/pipelines/shop/runs/7/approve", "shop has no run 7"),
        ("/pipelines/shop/runs/x/cancel", "shop has no run x"),
        ("/pipelines/blog/runs/1/retry", "the daemon does not manage blog"),
        ("/pipelines/shop/deployment/promote", "shop has no deployment in progress"),
        ("/pipelines/shop/deployment/abort", "shop has no deployment in progress"),
    ],
)
def test_what_is_not_possible(server: WebServer, path: str, message: str) -> None:
    """An action that is not possible says why."""
    assert message in press(server.browser(), path)


def test_a_reason_of_two_lines(server: WebServer) -> None:
    """A reason with control characters is refused, as in the API."""
    wait_for_approval(server)
    message = press(server.browser(), "/pipelines/shop/runs/1/reject", comment="a\nb")
    assert message == "the reason must be one line of at most 1000 characters"
    assert approval(server) is None


def test_every_button_leads_to_an_action(server: WebServer) -> None:
    """The forms of the page Now have actions that exist, for a user who may operate only."""
    wait_for_approval(server)
    server.store.transitions.disable("shop", "build", "a freeze")
    browser = server.browser()
    forms = set(re.findall(r'action="(/pipelines/[^"]*)"', browser.get("/").text))
    assert forms == {
        "/pipelines/shop/runs/1/approve",
        "/pipelines/shop/runs/1/reject",
        "/pipelines/shop/runs/1/cancel",
        "/pipelines/shop/transitions/build/enable",
    }
    assert not re.findall(r'action="/pipelines/', server.browser(Role.LOOK).get("/").text)
    for path in forms:
        assert server.browser(Role.LOOK).post(path).status == 403
