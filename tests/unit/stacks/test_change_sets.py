"""Change sets: the difference that they show, and what executing them does."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.stacks.change_sets import NO_CHANGES
from pipeline.stacks.error import StackError
from pipeline.stacks.goals import StackRequest
from pipeline.stacks.records import ChangeSet, ChangeSetStatus, ExecutionStatus
from pipeline.stacks.status import StackStatus
from tests.support.stack_home import OWNER, REGION, StackHome, template
from tests.support.stack_world import THING

BASE = template(
    {
        "Vpc": "{Name: vpc}",
        "Web": "{Size: !Ref Size, Name: web, Uses: [!Ref Vpc]}",
        "Reader": "{Name: !GetAtt Web.Size}",
    },
    Parameters="{Size: {Type: Number, Default: 1}, Secret: {Type: String, NoEcho: true, Default: a}}",
)


def compare(home: StackHome, text: str | None, parameters: dict[str, object] | None = None) -> ChangeSet:
    """Return a change set of the stack `web`."""
    name = f"c{len(home.change_sets.all(OWNER, 'web'))}"
    return home.change_sets.create(OWNER, REGION, "web", name, StackRequest(text, parameters or {}))


def by_name(change_set: ChangeSet) -> dict[str, dict[str, Any]]:
    """Return the changes by the names of their resources."""
    return {c["ResourceChange"]["LogicalResourceId"]: dict(c["ResourceChange"]) for c in change_set.changes}


def test_a_changed_parameter_is_the_cause(home: StackHome) -> None:
    """A property that follows a parameter is changed by it. What reads the resource may have to be replaced."""
    home.create("web", BASE)
    changes = by_name(compare(home, None, {"Size": "2"}))
    assert changes.keys() == {"Web", "Reader"}
    assert (changes["Web"]["Action"], changes["Web"]["Replacement"]) == ("Modify", "False")
    (detail,) = changes["Web"]["Details"]
    assert detail == {
        "Target": {
            "Attribute": "Properties", "Name": "Size", "RequiresRecreation": "Never", "BeforeValue": "1",
            "AfterValue": "2",
        },
        "Evaluation": "Static", "ChangeSource": "ParameterReference", "CausingEntity": "Size",
    }  # fmt: skip
    assert changes["Reader"]["Replacement"] == "Conditional"
    (detail,) = changes["Reader"]["Details"]
    assert (detail["Evaluation"], detail["ChangeSource"], detail["CausingEntity"]) == (
        "Dynamic",
        "ResourceAttribute",
        "Web.Size",
    )


def test_a_replacement_reaches_those_that_use_the_resource(home: StackHome) -> None:
    """A new name needs a new resource. Its users are changed by the reference, without being replaced."""
    home.create("web", BASE)
    changes = by_name(compare(home, BASE.replace("{Name: vpc}", "{Name: other}")))
    assert (changes["Vpc"]["Replacement"], changes["Vpc"]["PolicyAction"]) == ("True", "ReplaceAndDelete")
    assert changes["Vpc"]["Details"][0]["ChangeSource"] == "DirectModification"
    (detail,) = changes["Web"]["Details"]
    assert (detail["Target"]["Name"], detail["ChangeSource"], detail["CausingEntity"]) == (
        "Uses",
        "ResourceReference",
        "Vpc",
    )
    assert changes["Web"]["Replacement"] == "False"


def test_added_removed_and_changed_policies(home: StackHome) -> None:
    """Each kind of change is told, and the policy of what is removed."""
    home.create("web", template({"A": "a", "B": "b", "C": "c"}))
    text = template({"A": "a", "B": "b", "D": "d"}).replace(
        f"  A: {{Type: '{THING}'", f"  A: {{DeletionPolicy: Retain, Metadata: {{x: 1}}, Type: '{THING}'"
    )
    changes = by_name(compare(home, text))
    assert {name: change["Action"] for name, change in changes.items()} == {"A": "Modify", "C": "Remove", "D": "Add"}
    assert changes["A"]["Scope"] == ["Metadata", "DeletionPolicy"]
    assert changes["C"]["PolicyAction"] == "Delete"


def test_a_secret_value_is_masked(home: StackHome) -> None:
    """The values of a property that follows a NoEcho parameter are not shown."""
    text = BASE.replace("{Name: vpc}", "{Name: !Ref Secret}")
    home.create("web", text, {"Secret": "before"})
    (detail,) = by_name(compare(home, None, {"Secret": "after"}))["Vpc"]["Details"]
    assert (detail["Target"]["BeforeValue"], detail["Target"]["AfterValue"]) == ("****", "****")


def test_a_change_set_without_changes_fails(home: StackHome) -> None:
    """Its reason is the text that clients look for, and it cannot be executed."""
    home.create("web", BASE)
    found = compare(home, BASE)
    assert (found.status, found.execution) == (ChangeSetStatus.FAILED, ExecutionStatus.UNAVAILABLE)
    assert found.reason == NO_CHANGES
    with pytest.raises(StackError) as caught:
        home.change_sets.execute(OWNER, found.id)
    assert caught.value.code == "InvalidChangeSetStatus"


def test_a_stack_is_created_by_a_change_set(home: StackHome) -> None:
    """It is under review until the change set is executed. Then it cannot be created so again."""
    found = home.change_sets.create(OWNER, REGION, "web", "first", StackRequest(BASE), kind="CREATE")
    stack = home.stacks.find(OWNER, "web")
    assert (stack.status, stack.outputs) == (StackStatus.REVIEW_IN_PROGRESS, ())
    assert {change["Action"] for change in by_name(found).values()} == {"Add"}
    assert home.world.things == {}
    home.change_sets.execute(OWNER, "first", "web")
    assert home.end(stack.id).status is StackStatus.CREATE_COMPLETE
    assert home.change_sets.find(OWNER, "first", "web")[1].execution is ExecutionStatus.EXECUTE_COMPLETE
    with pytest.raises(StackError, match="already exists and cannot be created again"):
        home.change_sets.create(OWNER, REGION, "web", "again", StackRequest(BASE), kind="CREATE")


def test_an_older_change_set_becomes_obsolete(home: StackHome) -> None:
    """After an operation, only a new comparison can be executed."""
    home.create("web", BASE)
    older, newer = (compare(home, None, {"Size": size}) for size in "23")
    home.end(home.change_sets.execute(OWNER, newer.id).id)
    assert home.sizes()["Web"] == 3
    assert home.change_sets.find(OWNER, older.id)[1].execution is ExecutionStatus.OBSOLETE
    with pytest.raises(StackError, match="cannot be executed"):
        home.change_sets.execute(OWNER, older.id)


def test_a_deleted_change_set_is_gone(home: StackHome) -> None:
    """It is not found by its name or ARN any more, and a name can be used again."""
    home.create("web", BASE)
    found = compare(home, None, {"Size": "2"})
    with pytest.raises(StackError, match=r"ChangeSet c0 already exists"):
        home.change_sets.create(OWNER, REGION, "web", "c0", StackRequest(None))
    home.change_sets.delete(OWNER, "c0", "web")
    with pytest.raises(StackError, match="does not exist") as caught:
        home.change_sets.find(OWNER, found.id)
    assert (caught.value.code, caught.value.status) == ("ChangeSetNotFound", 404)
