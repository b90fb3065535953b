"""What the deletion of a stack would do."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from pipeline.stacks.deletion_plan import deletion_plan
from pipeline.stacks.error import StackError
from pipeline.stacks.goals import StackRequest
from tests.support.stack_home import OWNER, REGION, StackHome, template

CHAIN = template({"A": "a", "B": "{Name: b, Uses: [!Ref A]}", "C": "{Name: c, Uses: [!Ref B]}", "D": "d"})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StackHome]:
    found = StackHome(tmp_path)
    yield found
    found.stacks.close()


def planned(
    home: StackHome, name: str = "web", retained: Collection[str] = ()
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the steps of a plan, each with its action, and the obstacles."""
    plan = deletion_plan(home.stacks.store, home.stacks.find(OWNER, name), retained)
    return [(step.action.value, step.logical_id) for step in plan.steps], list(plan.obstacles)


def test_the_plan_is_what_is_done(home: StackHome) -> None:
    """Users come before what they use, and the deletion deletes the same resources."""
    stack = home.create("web", CHAIN)
    steps, obstacles = planned(home)
    names = [name for _, name in steps]
    assert {action for action, _ in steps} == {"delete"}
    assert (names.index("C") < names.index("B") < names.index("A"), sorted(names), obstacles) == (True, [*"ABCD"], [])
    home.delete("web")
    events = [event for _, event in home.stacks.store.events(stack.id)]
    deleted = [event.logical_id for event in events if event.status == "DELETE_COMPLETE"]
    assert sorted(deleted) == [*"ABCD", "web"]


def test_a_resource_that_is_retained(home: StackHome) -> None:
    """Its DeletionPolicy says so."""
    home.create("web", CHAIN.replace("A: {", "A: {DeletionPolicy: Retain, "))
    assert planned(home)[0][-1] == ("retain", "A")


def test_a_resource_that_is_retained_by_name(home: StackHome) -> None:
    """As in the deletion itself, it must exist, and a deletion must have failed before."""
    home.create("web", CHAIN)
    with pytest.raises(StackError, match="can only be specified for a stack in DELETE_FAILED state"):
        planned(home, retained=["A"])
    home.world.undeletable.update(i for i, thing in home.world.things.items() if thing.properties["Name"] == "a")
    home.delete("web")
    assert planned(home) == ([("delete", "A")], [])
    assert planned(home, retained=["A"]) == ([("retain", "A")], [])
    with pytest.raises(StackError, match=r"to retain do not exist in the stack: \[X\]"):
        planned(home, retained=["X"])


def test_what_a_rollback_has_left_is_planned(home: StackHome) -> None:
    """A stack without resources has no steps."""
    home.world.failing.add("a")
    home.create("web", template({"A": "a"}))
    assert planned(home) == ([], [])


def test_obstacles(home: StackHome) -> None:
    """Protection, an export in use, and an operation in progress."""
    exports = "{Name: {Value: !Ref A, Export: {Name: web-name}}}"
    home.create("web", template({"A": "a"}, Outputs=exports), termination_protection=True)
    home.create("user", template({"B": "{Name: !ImportValue web-name}"}))
    assert planned(home)[1] == ["termination protection is enabled", "the export web-name is in use by user"]
    home.world.polls = 1_000_000
    stack = home.stacks.update(OWNER, "user", StackRequest(template({"B": "{Name: b}"})))
    assert planned(home, "user")[1] == ["an operation is in progress, its state is UPDATE_IN_PROGRESS"]
    home.world.settle()
    home.end(stack.id)
    other = home.stacks.create(OWNER, REGION, "other", StackRequest(CHAIN))
    home.world.settle()
    assert "an operation" not in str(planned(home, "other")[1]), "a creation is cancelled"
    home.end(other.id)
