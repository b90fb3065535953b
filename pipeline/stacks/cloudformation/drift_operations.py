"""Operations on drift. A detection is complete when its call returns."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.aws.service import Call
from pipeline.stacks.cloudformation.call import Answer
from pipeline.stacks.cloudformation.shapes import drift_shape
from pipeline.stacks.drifts import Drifts
from pipeline.stacks.error import StackError
from pipeline.stacks.stacks import Stacks


class DriftOperations:
    """The operations of CloudFormation on drift. Safe to use from any thread."""

    def __init__(self, stacks: Callable[[], Stacks]) -> None:
        self._stacks = stacks

    def detect_stack_drift(self, call: Call) -> Answer:
        """Compare the resources of a stack with what exists."""
        given = call.parameters
        report = self._drifts().detect(call.owner, given["StackName"], given.get("LogicalResourceIds"))
        return {"StackDriftDetectionId": report.id}

    def detect_stack_resource_drift(self, call: Call) -> Answer:
        """Compare one resource with what exists."""
        name = call.parameters["LogicalResourceId"]
        report = self._drifts().detect(call.owner, call.parameters["StackName"], [name])
        if not report.resources:
            raise StackError(f"Resource {name} does not exist for stack {call.parameters['StackName']}")
        return {"StackResourceDrift": drift_shape(report.resources[0])}

    def describe_stack_drift_detection_status(self, call: Call) -> Answer:
        """Return the outcome of a detection."""
        stack, report = self._drifts().report(call.owner, call.parameters["StackDriftDetectionId"])
        drifted = [r for r in report.resources if r["StackResourceDriftStatus"] in {"MODIFIED", "DELETED"}]
        return {
            "StackId": stack.id,
            "StackDriftDetectionId": report.id,
            "StackDriftStatus": report.status,
            "DetectionStatus": "DETECTION_COMPLETE",
            "DriftedStackResourceCount": len(drifted),
            "Timestamp": report.at.wall,
        }

    def describe_stack_resource_drifts(self, call: Call) -> Answer:
        """Return the drift of each resource, as the latest detection has found it."""
        _, report = self._drifts().report(call.owner, call.parameters["StackName"])
        wanted = call.parameters.get("StackResourceDriftStatusFilters")
        return {
            "StackResourceDrifts": [
                drift_shape(found)
                for found in report.resources
                if not wanted or found["StackResourceDriftStatus"] in wanted
            ]
        }

    def _drifts(self) -> Drifts:
        return Drifts(self._stacks())
