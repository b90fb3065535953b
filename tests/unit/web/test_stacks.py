"""The pages about stacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.stacks.goals import StackRequest
from pipeline.stacks.status import StackStatus
from pipeline.store.web_sessions import Role
from tests.support.stack_home import OWNER, StackHome, template
from tests.support.waiting import until
from tests.support.web import WebServer, web_server

HOSTILE = "<script>alert(1)</script>"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt;"
TEXT = template(
    {"Thing": "thing"},
    Description=f"'{HOSTILE}'",
    Parameters="{Key: {Type: String, NoEcho: true, Default: seven-secret-words}}",
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StackHome]:
    """The stacks of the home that the daemon serves."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    found = StackHome(folder)
    yield found
    found.stacks.close()


@pytest.fixture
def server(tmp_path: Path, home: StackHome) -> Iterator[WebServer]:
    with web_server(tmp_path, stacks=lambda: home.stacks) as found:
        yield found


def test_a_home_without_stacks(server: WebServer) -> None:
    """The page names the command that makes one."""
    page = server.browser().get("/stacks")
    assert (page.status, "There is no stack." in page.part("stacks")) == (200, True)
    page = server.browser().get("/stacks/web%3Cb%3E")
    assert (page.status, "stack web&lt;b&gt; does not exist" in page.text) == (404, True)


def test_a_stack_with_its_resources_and_events(server: WebServer, home: StackHome) -> None:
    """What templates say is text, and values of NoEcho parameters are masked."""
    home.create("web", TEXT)
    browser = server.browser()
    part = browser.get("/stacks").part("stacks")
    assert '<a href="/stacks/web">web</a>' in part
    assert SHOWN in part
    assert "CREATE_COMPLETE" in part
    page = browser.get("/stacks/web")
    assert page.status == 200
    assert "<dd>****</dd>" in page.part("stack")
    assert '<th scope="row">Thing</th>' in page.part("resources")
    events = page.part("stack-events")
    assert events.index("CREATE_COMPLETE") < events.index("CREATE_IN_PROGRESS"), "the newest is first"
    assert HOSTILE not in page.text
    assert "seven-secret-words" not in page.text


def test_a_new_event_arrives_on_an_open_page(server: WebServer, home: StackHome) -> None:
    """Without a reload."""
    home.create("web", TEXT)
    browser = server.browser()
    with browser.follow(browser.live("/stacks/web")) as messages:
        home.update("web", TEXT.replace("thing", "other"))
        while "UPDATE_COMPLETE" not in next(messages):
            """The update goes on."""


def requested(home: StackHome) -> list[tuple[str, str]]:
    """Return the states of the stack `web` that a user has requested, with the user."""
    (stack,) = (each for each in home.stacks.store.all(OWNER) if each.name == "web")
    return [(event.status, event.by) for _, event in home.stacks.store.events(stack.id) if event.by]


def test_an_update_is_cancelled(server: WebServer, home: StackHome) -> None:
    """The button is there while it can be pressed, for a user who may operate. The event names the user."""
    home.create("web", TEXT)
    browser = server.browser(name="ada")
    assert "/stacks/web/cancel" not in browser.get("/stacks/web").text
    home.world.polls = 1_000_000
    stack = home.stacks.update(OWNER, "web", StackRequest(TEXT.replace("thing", "other")))
    until(lambda: any(each.properties["Name"] == "other" for each in home.world.things.values()), "the change")
    assert "/stacks/web/cancel" in browser.get("/stacks/web").part("stack")
    assert "/stacks/web/cancel" not in server.browser(Role.LOOK).get("/stacks/web").text
    assert browser.post("/stacks/web/cancel").headers["location"].startswith("/stacks/web?message=")
    home.world.settle()
    assert home.end(stack.id).status is StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert requested(home) == [("UPDATE_ROLLBACK_IN_PROGRESS", "ada")]
    assert "<td>ada</td>" in browser.get("/stacks/web").part("stack-events")


def test_a_failed_rollback_is_continued(server: WebServer, home: StackHome) -> None:
    """The button is there in this state only."""
    home.create("web", template({"Thing": "thing"}))
    browser = server.browser(name="ada")
    home.world.failing.add("thing")
    assert (
        home.update("web", template({"Thing": "{Name: thing, Size: 2}"})).status is StackStatus.UPDATE_ROLLBACK_FAILED
    )
    assert "/stacks/web/continue" in browser.get("/stacks/web").part("stack")
    home.world.failing.clear()
    browser.post("/stacks/web/continue")
    stack = home.end(home.stacks.find(OWNER, "web").id)
    assert stack.status is StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert requested(home) == [("UPDATE_ROLLBACK_IN_PROGRESS", "ada")]
    assert "/stacks/web/continue" not in browser.get("/stacks/web").text


def test_a_stack_is_deleted_after_its_plan(server: WebServer, home: StackHome) -> None:
    """The page says what is deleted, in which order. Afterwards the page of the stack shows who has deleted it."""
    stack = home.create("web", template({"Vpc": "vpc", "Web": "{Name: web, Uses: [!Ref Vpc]}"}))
    browser = server.browser(name="ada")
    assert '<a href="/stacks/web/delete">' in browser.get("/stacks/web").part("stack")
    plan = browser.get("/stacks/web/delete").part("deletion")
    assert plan.index("delete Web") < plan.index("delete Vpc") < plan.index("Delete web")
    assert (
        'method="post"'
        not in server.browser(Role.LOOK).get("/stacks/web/delete").part("deletion").partition("<footer")[0]
    )
    assert browser.post("/stacks/web/delete").headers["location"].startswith("/stacks/web?message=")
    assert home.end(stack.id).status is StackStatus.DELETE_COMPLETE
    assert requested(home) == [("DELETE_IN_PROGRESS", "ada")]
    assert "<td>ada</td>" in browser.get("/stacks/web").part("stack-events")
    assert "/stacks/web/delete" not in browser.get("/stacks/web").text
    assert browser.get("/stacks/web/delete").status == 404


def test_a_plan_deletes_no_later_stack_of_the_name(server: WebServer, home: StackHome) -> None:
    """The button of an old page is that of the stack which the page shows."""
    planned = home.create("web", TEXT)
    browser = server.browser()
    assert f'<input type="hidden" name="id" value="{planned.id}">' in browser.get("/stacks/web/delete").text
    home.delete("web")
    later = home.create("web", TEXT)
    location = browser.post("/stacks/web/delete", {"id": planned.id}).headers["location"]
    assert "web was deleted." in browser.get(location).text
    assert home.end(later.id).status is StackStatus.CREATE_COMPLETE


def test_a_stack_that_cannot_be_deleted(server: WebServer, home: StackHome) -> None:
    """The page says why, and has no button."""
    home.create("web", TEXT, termination_protection=True)
    plan = server.browser().get("/stacks/web/delete").part("deletion").partition("<footer")[0]
    assert "not possible now</span>: termination protection is enabled." in plan
    assert "<button" not in plan
