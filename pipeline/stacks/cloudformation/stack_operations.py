"""Operations that begin, cancel and describe operations on stacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.stacks.cloudformation.call import Answer, on_failure, stack_request
from pipeline.stacks.cloudformation.shapes import (
    event_shape,
    listed_resources,
    resource_shape,
    resource_summary,
    stack_shape,
    summary_shape,
)
from pipeline.stacks.error import StackError
from pipeline.stacks.records import Stack
from pipeline.stacks.stacks import Stacks


class StackOperations:
    """The operations of CloudFormation on stacks, their events and their resources. Safe to use from any thread."""

    def __init__(self, stacks: Callable[[], Stacks]) -> None:
        self._stacks = stacks

    def create_stack(self, call: Call) -> Answer:
        """Begin to create a stack."""
        given = call.parameters
        minutes = given.get("TimeoutInMinutes")
        stack = self._stacks().create(
            call.owner,
            call.region,
            given["StackName"],
            stack_request(given),
            by=call.owner,
            on_failure=on_failure(given),
            timeout=minutes * 60.0 if minutes else None,
            termination_protection=given.get("EnableTerminationProtection", False),
            request_token=given.get("ClientRequestToken"),
        )
        return {"StackId": stack.id}

    def update_stack(self, call: Call) -> Answer:
        """Begin to update a stack."""
        given = call.parameters
        stack = self._stacks().update(
            call.owner,
            given["StackName"],
            stack_request(given),
            by=call.owner,
            on_failure=on_failure(given),
            request_token=given.get("ClientRequestToken"),
        )
        return {"StackId": stack.id}

    def delete_stack(self, call: Call) -> Answer:
        """Begin to delete a stack. Succeeds if there is none."""
        given = call.parameters
        retained = given.get("RetainResources", ())
        token = given.get("ClientRequestToken")
        self._stacks().delete(call.owner, given["StackName"], retained, token, by=call.owner)
        return {}

    def cancel_update_stack(self, call: Call) -> Answer:
        """Cancel an update."""
        self._stacks().cancel_update(call.owner, call.parameters["StackName"], by=call.owner)
        return {}

    def continue_update_rollback(self, call: Call) -> Answer:
        """Continue a rollback that has failed."""
        skipped = call.parameters.get("ResourcesToSkip", ())
        self._stacks().continue_rollback(call.owner, call.parameters["StackName"], skipped, by=call.owner)
        return {}

    def update_termination_protection(self, call: Call) -> Answer:
        """Enable or disable the protection against deletion."""
        enabled = call.parameters["EnableTerminationProtection"]
        return {"StackId": self._stacks().protect(call.owner, call.parameters["StackName"], enabled=enabled).id}

    def describe_stacks(self, call: Call) -> Answer:
        """Describe one stack, or all that are not deleted."""
        if "StackName" in call.parameters:
            found = [self._find(call)]
        else:
            found = [stack for stack in self._stacks().store.all(call.owner) if stack.deleted is None]
        return {"Stacks": [stack_shape(stack, self._stacks().store.drift(stack.id)) for stack in found]}

    def list_stacks(self, call: Call) -> Answer:
        """List all stacks, those that were deleted too."""
        wanted = call.parameters.get("StackStatusFilter")
        found = [stack for stack in self._stacks().store.all(call.owner) if not wanted or stack.status in wanted]
        return {"StackSummaries": [summary_shape(stack, self._stacks().store.drift(stack.id)) for stack in found]}

    def describe_stack_events(self, call: Call) -> Answer:
        """Return the events of a stack, newest first."""
        stack = self._stacks().find(call.owner, call.parameters["StackName"], "Stack [{}] does not exist")
        events = self._stacks().store.events(stack.id)
        return {"StackEvents": [event_shape(stack, number, event) for number, event in reversed(events)]}

    def describe_stack_resource(self, call: Call) -> Answer:
        """Describe one resource."""
        stack = self._stacks().find(call.owner, call.parameters["StackName"], "Stack '{}' does not exist")
        name = call.parameters["LogicalResourceId"]
        for resource in listed_resources(self._stacks().store.resources(stack.id)):
            if resource.logical_id == name:
                drift = self._stacks().store.drift(stack.id)
                named = {"StackName": stack.name, "StackId": stack.id, "Metadata": _text(resource.known.metadata)}
                return {"StackResourceDetail": {**resource_summary(resource, drift), **named}}
        raise StackError(f"Resource {name} does not exist for stack {stack.name}")

    def describe_stack_resources(self, call: Call) -> Answer:
        """Describe the resources of a stack, or of the stack that has one with a physical id."""
        given = call.parameters
        if "StackName" not in given and "PhysicalResourceId" not in given:
            raise AwsError("ValidationError", "Either StackName or PhysicalResourceId must be specified")
        stack = self._find(call) if "StackName" in given else self._owner_of(call)
        drift = self._stacks().store.drift(stack.id)
        name = given.get("LogicalResourceId")
        return {
            "StackResources": [
                resource_shape(stack, resource, drift)
                for resource in listed_resources(self._stacks().store.resources(stack.id))
                if name in {None, resource.logical_id}
            ]
        }

    def list_stack_resources(self, call: Call) -> Answer:
        """List the resources of a stack."""
        stack = self._find(call)
        drift = self._stacks().store.drift(stack.id)
        resources = listed_resources(self._stacks().store.resources(stack.id))
        return {"StackResourceSummaries": [resource_summary(resource, drift) for resource in resources]}

    def signal_resource(self, call: Call) -> Answer:
        """Refuse a signal: no resource waits for one."""
        stack = self._find(call)
        name = call.parameters["LogicalResourceId"]
        for resource in listed_resources(self._stacks().store.resources(stack.id)):
            if resource.logical_id == name:
                raise StackError(
                    f"Resource {name} is in {resource.status} state and does not wait for a signal: no type does here"
                )
        raise StackError(f"Resource {name} does not exist for stack {stack.name}")

    def list_exports(self, call: Call) -> Answer:
        """List the exports of all stacks."""
        exports = self._stacks().store.exports(call.owner)
        return {"Exports": [{"ExportingStackId": s, "Name": name, "Value": value} for name, value, s in exports]}

    def list_imports(self, call: Call) -> Answer:
        """List the stacks that import an export."""
        name = call.parameters["ExportName"]
        found = self._stacks().store.importers(call.owner, name)
        if not found:
            raise StackError(f"Export '{name}' is not imported by any stack.")
        return {"Imports": found}

    def _find(self, call: Call) -> Stack:
        return self._stacks().find(call.owner, call.parameters["StackName"])

    def _owner_of(self, call: Call) -> Stack:
        physical_id = call.parameters["PhysicalResourceId"]
        for stack in self._stacks().store.all(call.owner):
            if any(resource.physical_id == physical_id for resource in self._stacks().store.resources(stack.id)):
                return stack
        raise StackError(f"Stack for {physical_id} does not exist")


def _text(metadata: Any) -> str | None:
    return None if metadata is None else json.dumps(metadata)
