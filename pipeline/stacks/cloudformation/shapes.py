"""Stacks, events, resources and change sets in the shapes of botocore's model."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pipeline.stacks.masking import MASK, masked
from pipeline.stacks.plan import current_resources
from pipeline.stacks.records import ChangeSet, DriftReport, Goal, Stack, StackEvent, StackResource

Shape = dict[str, Any]


def stack_shape(stack: Stack, drift: DriftReport | None) -> Shape:
    """Return a `Stack`."""
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "ChangeSetId": stack.change_set,
        "Description": stack.goal.description,
        "Parameters": parameters_shape(stack.goal),
        "CreationTime": stack.created.wall,
        "LastUpdatedTime": stack.updated.wall if stack.updated else None,
        "DeletionTime": stack.deleted.wall if stack.deleted else None,
        "RollbackConfiguration": {},
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason or None,
        "DisableRollback": stack.on_failure == "DO_NOTHING",
        "NotificationARNs": [],
        "TimeoutInMinutes": max(1, round(stack.timeout / 60)) if stack.timeout else None,
        "Capabilities": list(stack.goal.capabilities),
        "Outputs": [
            {
                "OutputKey": output.name,
                "OutputValue": output.value,
                "Description": output.description or None,
                "ExportName": output.export,
            }
            for output in stack.outputs
        ],
        "Tags": tags_shape(stack.goal.tags),
        "EnableTerminationProtection": stack.termination_protection,
        "ParentId": stack.parent,
        "RootId": stack.root,
        "DriftInformation": drift_information(drift),
    }


def summary_shape(stack: Stack, drift: DriftReport | None) -> Shape:
    """Return a `StackSummary`."""
    names = (
        "StackId",
        "StackName",
        "CreationTime",
        "LastUpdatedTime",
        "DeletionTime",
        "StackStatus",
        "StackStatusReason",
    )
    whole = stack_shape(stack, drift)
    return {name: whole[name] for name in (*names, "ParentId", "RootId", "DriftInformation")} | {
        "TemplateDescription": stack.goal.description
    }


def drift_information(drift: DriftReport | None) -> Shape:
    """Return the `DriftInformation` of a stack."""
    if drift is None:
        return {"StackDriftStatus": "NOT_CHECKED"}
    return {"StackDriftStatus": drift.status, "LastCheckTimestamp": drift.at.wall}


def event_shape(stack: Stack, number: int, event: StackEvent) -> Shape:
    """Return a `StackEvent`. `number` is its number in the home."""
    properties = masked(stack.goal, event.properties)
    return {
        "StackId": stack.id,
        "EventId": f"{event.logical_id}-{event.status}-{number}",
        "StackName": stack.name,
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id,
        "ResourceType": event.type,
        "Timestamp": event.at.wall,
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason or None,
        "ResourceProperties": None if properties is None else json.dumps(properties),
        "ClientRequestToken": event.request_token,
    }


def listed_resources(resources: Collection[StackResource]) -> list[StackResource]:
    """Return one resource for each logical name: the current one, or the one that is being made."""
    return list({**{r.logical_id: r for r in resources}, **current_resources(resources)}.values())


def resource_shape(stack: Stack, resource: StackResource, drift: DriftReport | None) -> Shape:
    """Return a `StackResource`."""
    shape = resource_summary(resource, drift)
    return {"StackName": stack.name, "StackId": stack.id, "Timestamp": shape.pop("LastUpdatedTimestamp"), **shape}


def resource_summary(resource: StackResource, drift: DriftReport | None) -> Shape:
    """Return a `StackResourceSummary`."""
    return {
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical_id,
        "ResourceType": resource.known.type,
        "LastUpdatedTimestamp": resource.since.wall,
        "ResourceStatus": resource.status,
        "ResourceStatusReason": resource.reason or None,
        "DriftInformation": {"StackResourceDriftStatus": _drift_of(resource, drift)},
    }


def change_set_shape(stack: Stack, change_set: ChangeSet, *, values: bool) -> Shape:
    """Return the answer of DescribeChangeSet. `values` includes the values of properties."""
    return {
        **change_set_summary(stack, change_set),
        "Parameters": parameters_shape(change_set.goal),
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "Capabilities": list(change_set.goal.capabilities),
        "Tags": tags_shape(change_set.goal.tags),
        "Changes": [dict(change) if values else _without_values(change) for change in change_set.changes],
        "OnStackFailure": change_set.on_failure,
    }


def change_set_summary(stack: Stack, change_set: ChangeSet) -> Shape:
    """Return a `ChangeSetSummary`."""
    return {
        "ChangeSetName": change_set.name,
        "ChangeSetId": change_set.id,
        "StackId": stack.id,
        "StackName": stack.name,
        "Description": change_set.description,
        "CreationTime": change_set.created.wall,
        "ExecutionStatus": change_set.execution,
        "Status": change_set.status,
        "StatusReason": change_set.reason or None,
        "IncludeNestedStacks": False,
    }


def drift_shape(drift: Mapping[str, Any]) -> Shape:
    """Return a `StackResourceDrift` from its stored form."""
    return {**drift, "Timestamp": datetime.fromisoformat(drift["Timestamp"])}


def parameters_shape(goal: Goal) -> list[Shape]:
    """Return the parameters of a goal. Those with NoEcho are masked."""
    return [
        {
            "ParameterKey": name,
            "ParameterValue": MASK if name in goal.no_echo else value,
            "ResolvedValue": MASK if name in goal.no_echo and name in goal.resolved else goal.resolved.get(name),
        }
        for name, value in goal.parameters.items()
    ]


def tags_shape(tags: Mapping[str, str]) -> list[Shape]:
    """Return tags as a list."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _without_values(change: Mapping[str, Any]) -> Shape:
    found = dict(change["ResourceChange"])
    found["Details"] = [
        {**detail, "Target": {k: v for k, v in detail["Target"].items() if k not in {"BeforeValue", "AfterValue"}}}
        for detail in found["Details"]
    ]
    return {**change, "ResourceChange": found}


def _drift_of(resource: StackResource, drift: DriftReport | None) -> str:
    for found in drift.resources if drift else ():
        if found["LogicalResourceId"] == resource.logical_id:
            return str(found["StackResourceDriftStatus"])
    return "NOT_CHECKED"
