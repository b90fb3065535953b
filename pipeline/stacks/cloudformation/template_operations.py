"""Operations on templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.stacks.change_sets import ChangeSets
from pipeline.stacks.cloudformation.call import Answer
from pipeline.stacks.goals import parsed
from pipeline.stacks.stacks import Stacks

_VALIDATED = ("Description", "Capabilities", "CapabilitiesReason", "DeclaredTransforms")
_PARAMETER = ("ParameterKey", "DefaultValue", "NoEcho", "Description")


class TemplateOperations:
    """The operations of CloudFormation on templates. Safe to use from any thread."""

    def __init__(self, stacks: Callable[[], Stacks]) -> None:
        self._stacks = stacks

    def get_template(self, call: Call) -> Answer:
        """Return the template of a stack or a change set, as it was given."""
        given = call.parameters
        if "ChangeSetName" in given:
            _, change_set = ChangeSets(self._stacks()).find(call.owner, given["ChangeSetName"], given.get("StackName"))
            text = change_set.goal.template
        else:
            text = self._stored(call)
        return {"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]}

    def get_template_summary(self, call: Call) -> Answer:
        """Return the parameters, the types and the capabilities of a template, or of that of a stack."""
        return self._summary(call)

    def validate_template(self, call: Call) -> Answer:
        """Check a template, and return its parameters and capabilities."""
        summary = self._summary(call)
        parameters = [{k: p[k] for k in _PARAMETER if k in p} for p in summary["Parameters"]]
        return {"Parameters": parameters, **{key: summary[key] for key in _VALIDATED if key in summary}}

    def _summary(self, call: Call) -> Mapping[str, Any]:
        body = call.parameters.get("TemplateBody")
        if body is None and "StackName" not in call.parameters:
            raise AwsError("ValidationError", "Either Template URL or Template Body must be specified.")
        return parsed(self._stored(call) if body is None else body).summary()

    def _stored(self, call: Call) -> str:
        if "StackName" not in call.parameters:
            raise AwsError("ValidationError", "StackName is required if ChangeSetName is not specified.")
        stack = self._stacks().find(call.owner, call.parameters["StackName"])
        return stack.goal.template
