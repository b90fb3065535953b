"""CloudFormation's API, by botocore's client over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from pipeline.stacks.cloudformation.service import cloudformation_service
from tests.support.aws import aws_server, refusal
from tests.support.stack_home import StackHome, template
from tests.support.stack_world import THING

WEB = template(
    {"Vpc": "{Name: vpc}", "Web": "{Size: !Ref Size, Name: web, Uses: [!Ref Vpc]}"},
    Description="A web server",
    Parameters="{Size: {Type: Number, Default: 1}, Key: {Type: String, NoEcho: true, Default: secret}}",
    Outputs="{WebId: {Value: !Ref Web, Export: {Name: web-id}}}",
)
FAST = {"Delay": 0.02, "MaxAttempts": 500}


@pytest.fixture
def aws(home: StackHome) -> Iterator[Any]:
    """A client of CloudFormation."""
    with aws_server(home.folder / "aws", [cloudformation_service(lambda: home.stacks)]) as server:
        yield server.client("cloudformation")


def wait(aws: Any, what: str, **names: str) -> None:
    """Use a waiter of botocore, with short delays."""
    aws.get_waiter(what).wait(WaiterConfig=FAST, **names)


def create(aws: Any, name: str = "web", text: str = WEB, **options: Any) -> str:
    """Create a stack, and wait for it as clients do."""
    stack_id = aws.create_stack(StackName=name, TemplateBody=text, **options)["StackId"]
    wait(aws, "stack_create_complete", StackName=name)
    return str(stack_id)


def parameter(value: str) -> list[dict[str, object]]:
    """Return a new size. The other parameter keeps its value."""
    return [
        {"ParameterKey": "Size", "ParameterValue": value},
        {"ParameterKey": "Key", "UsePreviousValue": True},
    ]


def test_a_stack_is_created_described_updated_and_deleted(aws: Any, home: StackHome) -> None:
    """Every step is what a client of AWS sees, waiters and paginators included."""
    stack_id = create(aws, Tags=[{"Key": "team", "Value": "shop"}], TimeoutInMinutes=5)
    (stack,) = aws.describe_stacks(StackName="web")["Stacks"]
    assert (stack["StackId"], stack["StackStatus"], stack["Description"]) == (
        stack_id,
        "CREATE_COMPLETE",
        "A web server",
    )
    assert {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]} == {"Size": "1", "Key": "****"}
    assert stack["Outputs"][0]["ExportName"] == "web-id"
    assert (stack["Tags"], stack["TimeoutInMinutes"]) == ([{"Key": "team", "Value": "shop"}], 5)
    aws.update_stack(StackName="web", UsePreviousTemplate=True, Parameters=parameter("2"))
    wait(aws, "stack_update_complete", StackName="web")
    (stack,) = aws.describe_stacks()["Stacks"]
    assert (stack["Tags"][0]["Value"], stack["LastUpdatedTime"] > stack["CreationTime"]) == ("shop", True)
    assert home.sizes() == {"Vpc": 0, "Web": 2}
    aws.delete_stack(StackName="web")
    wait(aws, "stack_delete_complete", StackName=stack_id)
    assert aws.describe_stacks()["Stacks"] == []
    (summary,) = aws.list_stacks()["StackSummaries"]
    assert summary["StackStatus"] == "DELETE_COMPLETE"
    events = [
        e
        for page in aws.get_paginator("describe_stack_events").paginate(StackName=stack_id)
        for e in page["StackEvents"]
    ]
    assert (events[0]["ResourceStatus"], events[-1]["ResourceStatus"]) == ("DELETE_COMPLETE", "CREATE_IN_PROGRESS")
    assert len({event["EventId"] for event in events}) == len(events)


def test_the_texts_that_clients_look_for(aws: Any, home: StackHome) -> None:
    """`aws cloudformation deploy` and others tell these cases apart by their texts only."""
    missing = ("ValidationError", "Stack with id nothing does not exist")
    assert refusal(aws.describe_stacks, StackName="nothing") == missing
    assert refusal(aws.get_template, StackName="nothing") == missing
    assert refusal(aws.update_stack, StackName="nothing", TemplateBody=WEB) == (
        "ValidationError",
        "Stack [nothing] does not exist",
    )
    aws.delete_stack(StackName="nothing")
    create(aws)
    assert refusal(aws.create_stack, StackName="web", TemplateBody=WEB) == (
        "AlreadyExistsException",
        "Stack [web] already exists",
    )
    assert refusal(aws.update_stack, StackName="web", TemplateBody=WEB) == (
        "ValidationError",
        "No updates are to be performed.",
    )
    aws.create_change_set(StackName="web", ChangeSetName="none", TemplateBody=WEB)
    with pytest.raises(WaiterError):
        wait(aws, "change_set_create_complete", StackName="web", ChangeSetName="none")
    found = aws.describe_change_set(StackName="web", ChangeSetName="none")
    assert (found["Status"], found["StatusReason"]) == (
        "FAILED",
        "The submitted information didn't contain changes. Submit different information to create a change set.",
    )


def test_a_change_set_is_shown_and_executed(aws: Any, home: StackHome) -> None:
    """It creates a stack, then updates it. Values are included on request only."""
    aws.create_change_set(StackName="web", ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=WEB)
    assert aws.describe_stacks(StackName="web")["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    aws.execute_change_set(StackName="web", ChangeSetName="first", DisableRollback=False)
    wait(aws, "stack_create_complete", StackName="web")
    change_set = aws.create_change_set(
        StackName="web", ChangeSetName="second", UsePreviousTemplate=True, Parameters=parameter("2")
    )["Id"]
    wait(aws, "change_set_create_complete", ChangeSetName=change_set)
    (change,) = aws.describe_change_set(ChangeSetName=change_set)["Changes"]
    assert change["ResourceChange"]["Details"][0]["Target"] == {
        "Attribute": "Properties", "Name": "Size", "RequiresRecreation": "Never",
    }  # fmt: skip
    (change,) = aws.describe_change_set(ChangeSetName=change_set, IncludePropertyValues=True)["Changes"]
    assert change["ResourceChange"]["Details"][0]["Target"]["AfterValue"] == "2"
    names = [found["ChangeSetName"] for found in aws.list_change_sets(StackName="web")["Summaries"]]
    assert names == ["first", "second"]
    aws.execute_change_set(ChangeSetName=change_set)
    wait(aws, "stack_update_complete", StackName="web")
    assert aws.describe_stacks(StackName="web")["Stacks"][0]["ChangeSetId"] == change_set
    aws.delete_change_set(StackName="web", ChangeSetName="first")
    assert refusal(aws.describe_change_set, StackName="web", ChangeSetName="first")[0] == "ChangeSetNotFound"


def test_a_failed_creation_is_told(aws: Any, home: StackHome) -> None:
    """The waiter fails, and the events have the reason."""
    with pytest.raises(WaiterError):
        create(aws, Parameters=[{"ParameterKey": "Size", "ParameterValue": "13"}])
    home.end(aws.describe_stacks(StackName="web")["Stacks"][0]["StackId"])
    assert aws.describe_stacks(StackName="web")["Stacks"][0]["StackStatus"] == "ROLLBACK_COMPLETE"
    events = aws.describe_stack_events(StackName="web")["StackEvents"]
    reasons = [e.get("ResourceStatusReason") for e in events if e["ResourceStatus"] == "CREATE_FAILED"]
    assert reasons == ["is unlucky"]


def test_resources_and_templates_are_described(aws: Any, home: StackHome) -> None:
    """By name, by physical id, one and all."""
    stack_id = create(aws)
    (web,) = [i for i, thing in home.world.things.items() if thing.properties["Name"] == "web"]
    detail = aws.describe_stack_resource(StackName="web", LogicalResourceId="Web")["StackResourceDetail"]
    assert (detail["PhysicalResourceId"], detail["ResourceType"], detail["ResourceStatus"]) == (
        web,
        THING,
        "CREATE_COMPLETE",
    )
    found = aws.describe_stack_resources(PhysicalResourceId=web)["StackResources"]
    assert [(r["LogicalResourceId"], r["StackId"]) for r in found] == [("Vpc", stack_id), ("Web", stack_id)]
    assert len(aws.list_stack_resources(StackName="web")["StackResourceSummaries"]) == 2
    assert refusal(aws.describe_stack_resource, StackName="web", LogicalResourceId="X") == (
        "ValidationError",
        "Resource X does not exist for stack web",
    )
    assert aws.get_template(StackName="web")["TemplateBody"] == WEB
    assert aws.get_template_summary(StackName="web")["ResourceTypes"] == [THING]
    validated = aws.validate_template(TemplateBody=WEB)
    assert [p["ParameterKey"] for p in validated["Parameters"]] == ["Size", "Key"]
    assert refusal(aws.validate_template, TemplateBody="Resources: {}")[0] == "ValidationError"
    (export,) = aws.list_exports()["Exports"]
    assert (export["Name"], export["Value"], export["ExportingStackId"]) == ("web-id", web, stack_id)
    assert refusal(aws.list_imports, ExportName="web-id") == (
        "ValidationError",
        "Export 'web-id' is not imported by any stack.",
    )
    create(aws, "user", template({"User": "{Name: !ImportValue web-id}"}))
    assert aws.list_imports(ExportName="web-id")["Imports"] == ["user"]


def test_drift_is_detected(aws: Any, home: StackHome) -> None:
    """The detection is complete at once, and the differences are those of the properties."""
    create(aws)
    (web,) = [i for i, thing in home.world.things.items() if thing.properties["Name"] == "web"]
    home.world.things[web].properties["Size"] = 5
    detection = aws.detect_stack_drift(StackName="web")["StackDriftDetectionId"]
    status = aws.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
    assert (status["DetectionStatus"], status["StackDriftStatus"], status["DriftedStackResourceCount"]) == (
        "DETECTION_COMPLETE",
        "DRIFTED",
        1,
    )
    (drift,) = aws.describe_stack_resource_drifts(StackName="web", StackResourceDriftStatusFilters=["MODIFIED"])[
        "StackResourceDrifts"
    ]
    assert drift["PropertyDifferences"][0]["ActualValue"] == "5"
    assert (
        aws.detect_stack_resource_drift(StackName="web", LogicalResourceId="Vpc")["StackResourceDrift"][
            "StackResourceDriftStatus"
        ]
        == "IN_SYNC"
    )
    assert aws.describe_stacks()["Stacks"][0]["DriftInformation"]["StackDriftStatus"] == "IN_SYNC"


def test_protection_and_cancellation(aws: Any, home: StackHome) -> None:
    """A protected stack is not deleted, and only an update can be cancelled."""
    create(aws, EnableTerminationProtection=True)
    assert "TerminationProtection is enabled" in refusal(aws.delete_stack, StackName="web")[1]
    aws.update_termination_protection(StackName="web", EnableTerminationProtection=False)
    assert refusal(aws.cancel_update_stack, StackName="web") == (
        "ValidationError",
        "CancelUpdateStack cannot be called from current stack status",
    )
    assert "can not continue rollback" in refusal(aws.continue_update_rollback, StackName="web")[1]
    message = refusal(aws.signal_resource, StackName="web", LogicalResourceId="Web", UniqueId="1", Status="SUCCESS")[1]
    assert message.startswith("Resource Web is in CREATE_COMPLETE state and does not wait for a signal")
    assert aws.get_stack_policy(StackName="web").get("StackPolicyBody") is None
    aws.delete_stack(StackName="web")
    wait(aws, "stack_delete_complete", StackName="web")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"RoleARN": "arn:aws:iam::000000000000:role/admin"}, "RoleARN is not supported"),
        ({"NotificationARNs": ["arn:aws:sns:eu-west-1:000000000000:topic"]}, "NotificationARNs is not supported"),
        ({"StackPolicyBody": "{}"}, "StackPolicyBody is not supported"),
        ({"OnFailure": "DELETE", "DisableRollback": True}, "You can specify either DisableRollback or OnFailure"),
        ({"Parameters": [{"ParameterKey": "No", "ParameterValue": "1"}]}, "Parameters: [No] do not exist"),
    ],
)  # fmt: skip
def test_what_would_have_no_effect_is_refused(aws: Any, home: StackHome, options: dict[str, Any], message: str) -> None:
    """A parameter that means nothing here is named with its reason, and nothing is made."""
    code, found = refusal(aws.create_stack, StackName="web", TemplateBody=WEB, **options)
    assert (code, found.startswith(message)) == ("ValidationError", True), found
    assert aws.describe_stacks()["Stacks"] == []


def test_an_unknown_type_and_a_missing_template_are_named(aws: Any, home: StackHome) -> None:
    """The types that are offered are in the message."""
    text = "Resources: {A: {Type: 'AWS::S3::Bucket'}}"
    message = refusal(aws.create_stack, StackName="web", TemplateBody=text)[1]
    assert message.startswith("Template format error: Unrecognized resource types: [AWS::S3::Bucket] (")
    assert "AWS::CloudFormation::Stack" in message
    assert refusal(aws.create_stack, StackName="web") == (
        "ValidationError",
        "Either Template URL or Template Body must be specified.",
    )
    role = "Resources: {A: {Type: 'AWS::IAM::Role', Properties: {AssumeRolePolicyDocument: {}}}}"
    assert refusal(aws.validate_template, TemplateBody="- a")[0] == "ValidationError"
    assert aws.validate_template(TemplateBody=role)["Capabilities"] == ["CAPABILITY_IAM"]
    assert "Stack policies are not supported" in refusal(aws.set_stack_policy, StackName="web")[1]
