"""The steps of a phase, as a pure function of what is stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from pipeline.base.clock import Stamp
from pipeline.stacks.plan import Action, Change, Step, change_of, deletes, puts, ready, restores
from pipeline.stacks.records import Definition, StackResource, Standing
from pipeline.stacks.status import ResourceStatus, Work

NOW = Stamp.from_wall(datetime(2030, 1, 1, tzinfo=UTC))


def resource(name: str, *uses: str, created_in: int = 1, token: str = "", **changes: object) -> StackResource:
    """A resource that was created."""
    made = StackResource(
        token or f"t-{name}", name, Standing.CURRENT, ResourceStatus.CREATE_COMPLETE, NOW, created_in,
        physical_id=f"id-{name}", definition=Definition("T", {}, uses), settled_in=created_in,
    )  # fmt: skip
    return replace(made, **changes)


def order(steps: list[Step]) -> list[str]:
    """Return the names in the order in which they are done one by one."""
    found, left = [], list(steps)
    while left:
        step = ready(left, ())[0]
        left.remove(step)
        found.append(step.logical_id)
    return found


def test_only_what_is_left_is_planned() -> None:
    """A resource that this operation has settled has no step, and others do not wait for it."""
    wanted = {"A": (), "B": ("A",), "C": ("B",)}
    steps = puts(wanted, [resource("A", settled_in=2), resource("B", "A")], operation=2)
    assert [(step.logical_id, step.after) for step in steps] == [("B", frozenset()), ("C", {"B"})]
    assert [step.logical_id for step in ready(steps, ())] == ["B"]
    assert ready(steps, {"B"}) == []


def test_a_creation_that_was_cut_short_is_continued() -> None:
    """Its step has the stored resource. One of an earlier operation is not continued."""
    begun = resource("A", created_in=2, standing=Standing.NEW, definition=None, target=Definition("T", {}))
    (step,) = puts({"A": ()}, [begun], operation=2)
    assert step.resource is begun
    (step,) = puts({"A": ()}, [begun], operation=3)
    assert step.resource is None


def test_former_resources_come_back_in_the_order_of_the_former_template() -> None:
    """Resources that were changed or replaced are restored, those that they use first. New ones are not touched."""
    old = Definition("T", {"Size": 1}, ("A",))
    rows = [
        resource("A", standing=Standing.REPLACED),
        resource("A", created_in=2, token="t-new"),
        resource("B", former=old),
        resource("C"),
        resource("D", created_in=2),
    ]
    steps = restores(rows, stable=1)
    assert order(steps) == ["A", "B"]
    assert [step.key for step in steps] == ["t-A", "t-B"]


def test_users_are_deleted_before_what_they_use() -> None:
    """The order of deletion is the reverse of that of creation."""
    rows = [resource("A"), resource("B", "A"), resource("C", "A", "B")]
    assert order(deletes(Work.DELETE, rows, stable=1)) == ["C", "B", "A"]


def test_leftovers_of_other_templates_cannot_block_one_another() -> None:
    """Dependencies in a circle, from two templates, are deleted nevertheless."""
    rows = [resource("A", "B", standing=Standing.LEFTOVER), resource("B", "A")]
    assert sorted(order(deletes(Work.DELETE, rows, stable=1))) == ["A", "B"]


def test_a_cleanup_deletes_what_was_replaced_removed_or_left_over() -> None:
    """What the template has stays."""
    rows = [
        resource("A", standing=Standing.REPLACED),
        resource("A", token="t-new"),
        resource("B"),
        resource("C", standing=Standing.LEFTOVER),
    ]
    steps = deletes(Work.CLEAN_UP, rows, stable=1, wanted={"A"})
    assert sorted(step.key for step in steps) == ["t-A", "t-B", "t-C"]
    assert {step.action for step in steps} == {Action.DELETE}


def test_the_change_of_a_resource() -> None:
    """A type or a property that needs a new resource replaces it. Policies alone are adopted."""
    wanted = Definition("T", {"Size": 1, "Name": "a"})
    found = resource("A", definition=wanted)

    def change(after: Definition) -> Change:
        return change_of(found, after, frozenset({"Name"}))

    assert change_of(None, wanted, frozenset()) is Change.CREATE
    assert change(wanted) is Change.NONE
    assert change(replace(wanted, deletion_policy="Retain")) is Change.ADOPT
    assert change(replace(wanted, properties={"Size": 2, "Name": "a"})) is Change.UPDATE
    assert change(replace(wanted, properties={"Size": 2})) is Change.REPLACE
    assert change(replace(wanted, type="U")) is Change.REPLACE
