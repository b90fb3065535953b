"""Resources that are kept and do nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.base.errors import ConfigError, StoreFault
from pipeline.stacks.phase_work import parse
from pipeline.stacks.providers.kept_store import KeptStore
from tests.support.stack_machine import CONTEXT, OWNER, StackMachine

TOKEN, OTHER = "lab-Role-AAAAAAAAAAAA", "lab-Role-BBBBBBBBBBBB"
POLICY = {"AssumeRolePolicyDocument": {"Statement": []}}


@pytest.fixture
def machine(tmp_path: Path) -> StackMachine:
    """A machine without resources."""
    return StackMachine(tmp_path)


def test_a_role_has_ids_as_in_aws(machine: StackMachine) -> None:
    """Without a name, it has one made of its stack. Its ARN has the path, and its event says that it does nothing."""
    state = machine.create("AWS::IAM::Role", TOKEN, **POLICY, Path="/service/")
    assert state.physical_id == TOKEN
    assert state.attributes["Arn"] == f"arn:aws:iam::000000000000:role/service/{TOKEN}"
    assert state.attributes["RoleId"].startswith("AROA")
    assert state.reason == "kept: nothing checks permissions, and containers have no role"


def test_a_long_name_is_cut(machine: StackMachine) -> None:
    """The unique end of the name stays."""
    state = machine.create("AWS::IAM::Role", f"{'long' * 20}-Role-AAAAAAAAAAAA", **POLICY)
    assert len(state.physical_id) == 64
    assert state.physical_id.endswith("-AAAAAAAAAAAA")


def test_a_name_is_taken_once(machine: StackMachine) -> None:
    """A second stack cannot make what another one has made. Another owner can."""
    machine.create("AWS::IAM::Role", TOKEN, **POLICY, RoleName="deploy")
    with pytest.raises(ConfigError, match=r"^deploy already exists: stack/lab has made it$"):
        machine.create("AWS::IAM::Role", OTHER, replace(CONTEXT, name="blog"), **POLICY, RoleName="deploy")
    other = replace(CONTEXT, owner="blog")
    assert machine.create("AWS::IAM::Role", OTHER, other, **POLICY, RoleName="deploy").physical_id == "deploy"


def test_two_records_of_one_name(machine: StackMachine) -> None:
    """The record of another type has the same name with a final dot. Each is deleted alone."""
    first, second = (
        machine.create("AWS::Route53::RecordSet", f"lab-{kind}-A", Name="shop.example.com", Type=kind).physical_id
        for kind in ("A", "AAAA")
    )
    assert (first, second) == ("shop.example.com", "shop.example.com.")
    provider = machine.provider("AWS::Route53::RecordSet")
    provider.delete(second)
    assert provider.find("lab-A-A") == first
    assert provider.find("lab-AAAA-A") is None


def test_attributes_follow_an_update(machine: StackMachine) -> None:
    """The attributes are those of the present properties, also for a provider of another process."""
    given = {"Name": "/shop/size", "Type": "String", "Value": "1"}
    state = machine.create("AWS::SSM::Parameter", TOKEN, **given)
    machine.update("AWS::SSM::Parameter", state.physical_id, given, {**given, "Value": "2"})
    found = machine.provider("AWS::SSM::Parameter").read(state.physical_id)
    assert found is not None
    assert found.attributes["Value"] == "2"


def test_a_required_property(machine: StackMachine) -> None:
    """A property that AWS requires is required."""
    with pytest.raises(ConfigError, match=r"#: required key \[AssumeRolePolicyDocument\] not found"):
        parse(machine.provider("AWS::IAM::Role"), {"RoleName": "deploy"})


def test_an_update_of_what_is_gone(machine: StackMachine) -> None:
    """It says so."""
    with pytest.raises(ConfigError, match=r"^deploy does not exist$"):
        machine.update("AWS::IAM::Role", "deploy", POLICY, POLICY)


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("AWS::SNS::Topic", {"TopicName": "alarms"}, "arn:aws:sns:eu-west-1:000000000000:alarms"),
        ("AWS::S3::Bucket", {"BucketName": "Logs"}, "logs"),
        ("AWS::SQS::Queue", {"QueueName": "jobs"}, "https://sqs.eu-west-1.amazonaws.com/000000000000/jobs"),
        (
            "AWS::IAM::ManagedPolicy",
            {"ManagedPolicyName": "p", "PolicyDocument": {}},
            "arn:aws:iam::000000000000:policy/p",
        ),
        ("AWS::EC2::VPCEndpointServicePermissions", {"ServiceId": "vpce-svc-1"}, "vpce-svc-1"),
    ],
)
def test_refs(machine: StackMachine, name: str, given: dict[str, object], wanted: str) -> None:
    """Ref has AWS's form."""
    assert machine.create(name, TOKEN, **given).physical_id == wanted


@pytest.mark.parametrize("content", ["{", '{"version": 7, "resources": []}'])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    """The error names the file, and the file stays."""
    (tmp_path / "kept.json").write_text(content)
    with pytest.raises(StoreFault, match=r"kept\.json"):
        KeptStore(tmp_path).all(OWNER, "AWS::IAM::Role")
    assert (tmp_path / "kept.json").read_text() == content


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The error names the file."""
    (tmp_path / "aws").write_text("")
    with pytest.raises(StoreFault, match=r"cannot (read|write) .*kept\.json"):
        KeptStore(tmp_path / "aws").delete(OWNER, "AWS::IAM::Role", "deploy")
