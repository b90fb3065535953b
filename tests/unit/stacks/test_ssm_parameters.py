"""Parameters of SSM in templates: of parameters' types, and in dynamic references."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.parameter_store.parameter import StoredParameter, Version
from pipeline.stacks.cloudformation.shapes import parameters_shape
from pipeline.stacks.error import StackError
from pipeline.stacks.template import TemplateError
from tests.support.stack_machine import OWNER, REGION, MachineStacks

SIZE = "/shop/size"
NAMED = "Parameters: {Size: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /shop/size}}\n"
USER = f"{NAMED}Resources: {{Topic: {{Type: AWS::SNS::Topic, Properties: {{DisplayName: !Sub 'size ${{Size}}'}}}}}}"
DYNAMIC = "Resources: {{Topic: {{Type: AWS::SNS::Topic, Properties: {{DisplayName: 'size {}'}}}}}}"
MAKER = "Resources: {Size: {Type: AWS::SSM::Parameter, Properties: {Name: /shop/size, Type: String, Value: '%s'}}}"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[MachineStacks]:
    """A machine without stacks."""
    machine = MachineStacks(tmp_path)
    yield machine
    machine.stacks.close()


def put(machine: MachineStacks, value: str, kind: str = "String") -> None:
    """Put a parameter as SSM's API does."""

    def change(known: StoredParameter | None) -> StoredParameter:
        version = Version((known.latest.number if known else 0) + 1, kind, value, datetime.now(UTC))
        return known.with_version(version) if known else StoredParameter(OWNER, REGION, SIZE, "api", (version,))

    machine.machine.parameters.change(OWNER, SIZE, change)


def display_name(machine: MachineStacks) -> object:
    """Return the property of the topic."""
    (topic,) = machine.machine.kept.all(OWNER, "AWS::SNS::Topic")
    return topic.properties["DisplayName"]


def test_the_value_of_another_stack_is_used(machine: MachineStacks) -> None:
    """A stack makes a parameter, another one reads it. Its new value is used by the next update."""
    machine.create_stack(MAKER % 2, "maker")
    stack = machine.create_stack(USER)
    assert display_name(machine) == "size 2"
    assert parameters_shape(stack.goal) == [
        {"ParameterKey": "Size", "ParameterValue": "/shop/size", "ResolvedValue": "2"}
    ]
    machine.update_stack(MAKER % 3, "maker")
    assert machine.machine.parameters.version(OWNER, SIZE).number == 2
    assert display_name(machine) == "size 2"
    machine.update_stack(USER)
    assert display_name(machine) == "size 3"
    with pytest.raises(StackError, match="No updates are to be performed"):
        machine.update_stack(USER)


def test_an_update_that_fails_brings_the_former_value_back(machine: MachineStacks) -> None:
    """A rollback uses the value that the stack had, not the present one."""
    put(machine, "1")
    machine.create_stack(USER)
    put(machine, "2")
    broken = f"{USER[:-1]}, Bad: {{Type: AWS::EC2::RouteTable, DependsOn: Topic, Properties: {{VpcId: vpc-1}}}}}}"
    assert machine.update_stack(broken).status == "UPDATE_ROLLBACK_COMPLETE"
    assert display_name(machine) == "size 1"


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("{{resolve:ssm:/shop/size}}", "size 2"),
        ("{{resolve:ssm:/shop/size:1}}/{{resolve:ssm:/shop/size:2}}", "size 1/2"),
    ],
)
def test_a_dynamic_reference(machine: MachineStacks, reference: str, value: str) -> None:
    """It stands for the value of the latest version, or of the one that it names, anywhere in a text."""
    put(machine, "1")
    put(machine, "2")
    machine.create_stack(DYNAMIC.format(reference))
    assert display_name(machine) == value


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("{{resolve:ssm:/shop/none}}", "Parameters: [ssm:/shop/none] cannot be found."),
        ("{{resolve:ssm:/shop/size:7}}", "Parameters: [ssm:/shop/size:7] cannot be found."),
        ("{{resolve:ssm:/shop/size:x}}", "Incorrect format is used in the following SSM reference"),
        ("{{resolve:ssm:/shop/size", "Incorrect format is used in the following dynamic reference"),
        ("{{resolve:ssm-secure:/shop/key:1}}", "dynamic references to ssm-secure are not supported"),
        ("{{resolve:secretsmanager:db}}", "dynamic references to secretsmanager are not supported"),
        ("{{resolve:vault:db}}", "dynamic references have no service vault"),
    ],
)
def test_a_dynamic_reference_without_a_value(machine: MachineStacks, reference: str, reason: str) -> None:
    """The template is refused before anything is made, with the place and what to do."""
    put(machine, "1")
    with pytest.raises(TemplateError) as caught:
        machine.create_stack(DYNAMIC.format(reference))
    assert reason in caught.value.reason
    assert machine.left() == [SIZE]


def test_a_secure_string_is_not_for_templates(machine: MachineStacks) -> None:
    """It would be shown in the stack. Both ways to use it are refused."""
    put(machine, "open sesame", "SecureString")
    for text in (USER, DYNAMIC.format("{{resolve:ssm:/shop/size}}")):
        with pytest.raises(StackError, match="have types not supported by CloudFormation") as caught:
            machine.create_stack(text)
        assert caught.value.hint


def test_a_name_that_is_taken(machine: MachineStacks) -> None:
    """A stack does not take over a parameter that a client has put. Its deletion leaves it."""
    put(machine, "1")
    assert machine.create_stack(MAKER % 2).status == "ROLLBACK_COMPLETE"
    assert machine.failures() == ["The parameter /shop/size already exists: api has made it"]
    assert machine.machine.parameters.version(OWNER, SIZE).value == "1"


def test_drift_of_a_parameter(machine: MachineStacks) -> None:
    """A value that a client has put is drift. The stack deletes the parameter all the same."""
    machine.create_stack(MAKER % 2)
    put(machine, "5")
    provider = machine.provider("AWS::SSM::Parameter")
    found = provider.read(SIZE)
    assert found is not None
    assert (found.properties or {})["Value"] == "5"
    machine.delete_stack()
    assert machine.machine.parameters.all(OWNER) == []
