"""Operations on change sets."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.stacks.change_sets import ChangeSets
from pipeline.stacks.cloudformation.call import Answer, on_failure, stack_request
from pipeline.stacks.cloudformation.shapes import change_set_shape, change_set_summary
from pipeline.stacks.stacks import Stacks


class ChangeSetOperations:
    """The operations of CloudFormation on change sets. Safe to use from any thread."""

    def __init__(self, stacks: Callable[[], Stacks]) -> None:
        self._stacks = stacks

    def create_change_set(self, call: Call) -> Answer:
        """Compare a stack with a template."""
        given = call.parameters
        kind = given.get("ChangeSetType", "UPDATE")
        if kind == "IMPORT":
            raise AwsError("ValidationError", "ChangeSetType IMPORT is not supported: use CREATE or UPDATE")
        change_set = self._change_sets().create(
            call.owner,
            call.region,
            given["StackName"],
            given["ChangeSetName"],
            stack_request(given),
            by=call.owner,
            kind=kind,
            description=given.get("Description"),
            on_failure=on_failure(given),
        )
        return {"Id": change_set.id, "StackId": change_set.stack}

    def describe_change_set(self, call: Call) -> Answer:
        """Describe a change set with its changes."""
        given = call.parameters
        found = self._change_sets().find(call.owner, given["ChangeSetName"], given.get("StackName"))
        return change_set_shape(*found, values=given.get("IncludePropertyValues", False))

    def execute_change_set(self, call: Call) -> Answer:
        """Begin to make a stack what its change set says."""
        given = call.parameters
        disabled = "DO_NOTHING" if given.get("DisableRollback") else None
        self._change_sets().execute(
            call.owner, given["ChangeSetName"], given.get("StackName"), on_failure=disabled, by=call.owner
        )
        return {}

    def delete_change_set(self, call: Call) -> Answer:
        """Delete a change set. Succeeds if there is none."""
        given = call.parameters
        self._change_sets().delete(call.owner, given["ChangeSetName"], given.get("StackName"))
        return {}

    def list_change_sets(self, call: Call) -> Answer:
        """List the change sets of a stack."""
        stack = self._stacks().find(call.owner, call.parameters["StackName"], "Stack [{}] does not exist")
        found = self._change_sets().all(call.owner, stack.id)
        return {"Summaries": [change_set_summary(stack, change_set) for change_set in found]}

    def _change_sets(self) -> ChangeSets:
        return ChangeSets(self._stacks())
