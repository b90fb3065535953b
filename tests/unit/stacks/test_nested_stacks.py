"""Stacks in stacks, from templates in files."""

from __future__ import annotations

import pytest

from pipeline.stacks.goals import StackRequest
from pipeline.stacks.status import StackStatus
from tests.support.stack_home import OWNER, REGION, StackHome, template
from tests.support.stack_world import THING
from tests.support.waiting import until

INNER = template(
    {"Web": "{Size: !Ref Size, Name: web}"},
    Parameters="{Size: {Type: Number}}",
    Outputs="{Id: {Value: !Ref Web}}",
)
OUTER = f"""
Parameters: {{Size: {{Type: Number, Default: 1}}, Name: {{Type: String, Default: user}}}}
Resources:
  Inner:
    Type: AWS::CloudFormation::Stack
    Properties: {{TemplateURL: inner.yaml, Parameters: {{Size: !Ref Size}}}}
  User: {{Type: '{THING}', Properties: {{Name: !Ref Name, Uses: [!GetAtt Inner.Outputs.Id]}}}}
"""


@pytest.fixture
def nested(home: StackHome) -> StackHome:
    """A home with the template of a nested stack."""
    (home.folder / "inner.yaml").write_text(INNER)
    return home


def inner(home: StackHome) -> StackStatus:
    """Return the state of the nested stack."""
    (stack,) = [stack for stack in home.stacks.store.all(OWNER) if stack.parent]
    return stack.status


def test_a_nested_stack_lives_with_its_parent(nested: StackHome) -> None:
    """It is created, updated and deleted with it. Its outputs are attributes."""
    assert nested.create("outer", OUTER).status is StackStatus.CREATE_COMPLETE
    (stack,) = [stack for stack in nested.stacks.store.all(OWNER) if stack.parent]
    parent = nested.stacks.find(OWNER, "outer")
    assert (stack.parent, stack.root) == (parent.id, parent.id)
    assert stack.name.startswith("outer-Inner-")
    assert nested.update("outer", None, {"Size": "2"}).status is StackStatus.UPDATE_COMPLETE
    assert nested.sizes() == {"Web": 2, "User": 0}
    assert nested.delete("outer").status is StackStatus.DELETE_COMPLETE
    assert nested.world.things == {}
    assert inner(nested) is StackStatus.DELETE_COMPLETE


def test_a_failure_in_a_nested_stack_fails_its_parent(nested: StackHome) -> None:
    """The reason names the resource that failed. Both are rolled back."""
    assert nested.create("outer", OUTER, {"Size": "13"}).status is StackStatus.ROLLBACK_COMPLETE
    assert any("was not successfully created: Web: is unlucky" in reason for reason in nested.reasons("outer"))
    assert nested.world.things == {}


def test_a_failed_update_brings_the_nested_stack_back(nested: StackHome) -> None:
    """Whether it failed itself, or another resource of its parent after it was updated."""
    nested.create("outer", OUTER)
    assert nested.update("outer", None, {"Size": "13"}).status is StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert nested.sizes() == {"Web": 1, "User": 0}
    nested.world.failing.add("bad")
    stack = nested.update("outer", None, {"Size": "2", "Name": "bad"})
    assert stack.status is StackStatus.UPDATE_ROLLBACK_COMPLETE
    assert nested.sizes() == {"Web": 1, "User": 0}
    assert nested.update("outer", None, {"Size": "3"}).status is StackStatus.UPDATE_COMPLETE


def test_a_deletion_during_the_creation_reaches_the_nested_stack(nested: StackHome) -> None:
    """Both are cancelled and deleted."""
    nested.world.polls = 1_000_000
    request = StackRequest(OUTER, folder=str(nested.folder))
    stack = nested.stacks.create(OWNER, REGION, "outer", request)
    until(lambda: nested.world.things, "a resource of the nested stack")
    nested.stacks.delete(OWNER, "outer")
    nested.world.settle()
    assert nested.end(stack.id).status is StackStatus.DELETE_COMPLETE
    assert nested.world.things == {}


def test_an_interrupted_nested_stack_is_resumed(nested: StackHome) -> None:
    """A process that ends leaves both operations to the next one."""
    nested.world.polls = 1_000_000
    request = StackRequest(OUTER, folder=str(nested.folder))
    stack = nested.stacks.create(OWNER, REGION, "outer", request)
    until(lambda: nested.world.things, "a resource of the nested stack")
    nested.stacks.close()
    nested.world.settle()
    nested.stacks = nested.open()
    nested.stacks.jobs.resume()
    assert nested.end(stack.id).status is StackStatus.CREATE_COMPLETE


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://bucket.s3.amazonaws.com/inner.yaml", "TemplateURL must be a local file, got https://"),
        ("file://host/inner.yaml", "TemplateURL must be a local file"),
        ("missing.yaml", "TemplateURL: cannot read"),
    ],
)
def test_a_template_that_cannot_be_read_is_named(nested: StackHome, url: str, reason: str) -> None:
    """Only local files are read."""
    nested.create("outer", OUTER.replace("inner.yaml", url))
    assert any(found.startswith(reason) for found in nested.reasons("outer"))


def test_a_relative_path_needs_a_folder(nested: StackHome) -> None:
    """A template that came over the API has no folder. An absolute path works."""
    stack = nested.stacks.create(OWNER, REGION, "outer", StackRequest(OUTER))
    nested.end(stack.id)
    assert any("is relative, and the template of the stack came without a file" in r for r in nested.reasons("outer"))
    text = OUTER.replace("inner.yaml", f"file://{nested.folder}/inner.yaml")
    stack = nested.stacks.create(OWNER, REGION, "other", StackRequest(text))
    assert nested.end(stack.id).status is StackStatus.CREATE_COMPLETE
