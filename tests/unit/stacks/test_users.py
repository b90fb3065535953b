"""The users whom the events of stacks name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.stacks.goals import StackRequest
from pipeline.stacks.status import StackStatus
from pipeline.store.database import Database
from tests.support.stack_home import OWNER, REGION, StackHome, template
from tests.support.waiting import until

SMALL, LARGE = template({"Web": "web"}), template({"Web": "{Name: web, Size: 2}"})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StackHome]:
    found = StackHome(tmp_path)
    yield found
    found.stacks.close()


def users(home: StackHome, stack_id: str) -> list[tuple[str, str | None]]:
    """Return the states of a stack that a user has requested, with the user."""
    return [(event.status, event.by) for _, event in home.stacks.store.events(stack_id) if event.by]


def test_each_command_names_its_user(home: StackHome) -> None:
    """What follows from a command names nobody."""
    stack = home.create("web", SMALL, by="ann")
    home.end(home.stacks.update(OWNER, "web", StackRequest(LARGE), by="bob").id)
    home.change_sets.create(OWNER, REGION, "web", "smaller", StackRequest(SMALL), by="cal")
    home.end(home.change_sets.execute(OWNER, "smaller", "web", by="dan").id)
    home.stacks.delete(OWNER, "web", by="eve")
    home.end(stack.id)
    assert users(home, stack.id) == [
        ("CREATE_IN_PROGRESS", "ann"),
        ("UPDATE_IN_PROGRESS", "bob"),
        ("UPDATE_IN_PROGRESS", "dan"),
        ("DELETE_IN_PROGRESS", "eve"),
    ]


def test_a_stack_that_is_only_reviewed(home: StackHome) -> None:
    """The user who makes the change set is named, then the one who executes it."""
    made = home.change_sets.create(OWNER, REGION, "web", "first", StackRequest(SMALL), kind="CREATE", by="ann")
    home.end(home.change_sets.execute(OWNER, made.id, by="bob").id)
    assert users(home, made.stack) == [("REVIEW_IN_PROGRESS", "ann"), ("CREATE_IN_PROGRESS", "bob")]


def test_the_user_who_cancels_is_named_once(home: StackHome) -> None:
    """By the event of the rollback, also when another process completes it. A later failure names nobody."""
    home.create("web", SMALL, by="ann")
    home.world.polls = 1_000_000
    stack = home.stacks.update(OWNER, "web", StackRequest(LARGE), by="bob")
    until(lambda: home.sizes()["Web"] == 2, "the change")
    home.stacks.cancel(home.stacks.store.get(stack.id), by="eve")
    home.world.settle()
    assert home.end(stack.id).status is StackStatus.UPDATE_ROLLBACK_COMPLETE
    home.world.failing.add("web")
    home.end(home.stacks.update(OWNER, "web", StackRequest(LARGE), by="bob").id)
    assert users(home, stack.id) == [
        ("CREATE_IN_PROGRESS", "ann"),
        ("UPDATE_IN_PROGRESS", "bob"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "eve"),
        ("UPDATE_IN_PROGRESS", "bob"),
    ]


def test_a_creation_that_is_deleted(home: StackHome) -> None:
    """The user who deletes it is named by the event of the deletion."""
    home.world.polls = 1_000_000
    stack = home.stacks.create(OWNER, REGION, "web", StackRequest(SMALL), by="ann")
    until(lambda: home.world.things, "the first resource")
    home.stacks.delete(OWNER, "web", by="eve")
    home.world.settle()
    home.end(stack.id)
    assert users(home, stack.id) == [("CREATE_IN_PROGRESS", "ann"), ("DELETE_IN_PROGRESS", "eve")]


def test_a_nested_stack_names_its_parent(home: StackHome) -> None:
    """It is the stack that has requested the change."""
    (home.folder / "inner.yaml").write_text(SMALL)
    outer = "Resources: {Inner: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: inner.yaml}}}"
    home.create("outer", outer, by="ann")
    (inner,) = (each for each in home.stacks.store.all(OWNER) if each.parent)
    home.stacks.delete(OWNER, "outer", by="bob")
    home.end(inner.parent or "")
    assert users(home, inner.id) == [("CREATE_IN_PROGRESS", "stack outer"), ("DELETE_IN_PROGRESS", "stack outer")]


def test_events_of_an_earlier_version(home: StackHome) -> None:
    """They have no user, and are read as before. The stack is updated and deleted as any other."""
    stack = home.create("web", SMALL, by="ann")
    with Database(home.folder / "penstock.db").transaction() as db:
        db.execute("UPDATE stack_events SET document=json_remove(document, '$.by')")
        db.execute("UPDATE stacks SET document=json_remove(document, '$.cancelled_by')")
    assert users(home, stack.id) == []
    home.end(home.stacks.update(OWNER, "web", StackRequest(LARGE), by="bob").id)
    assert users(home, stack.id) == [("UPDATE_IN_PROGRESS", "bob")]
