"""What the operations of the API have in common: their arguments, and their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call, Operation
from pipeline.stacks.error import StackError
from pipeline.stacks.goals import StackRequest
from pipeline.stacks.template import PREVIOUS_VALUE, TemplateError

Answer = Mapping[str, Any]

_REASONS = {
    "TemplateURL": "templates are not read from S3; send TemplateBody",
    "RoleARN": "there are no roles; the owner of the access key acts",
    "NotificationARNs": "there are no topics; read the events of the stack",
    "ResourceTypes": "there are no permissions by type; leave it out",
    "StackPolicyBody": "stack policies are not supported",
    "StackPolicyURL": "stack policies are not supported",
    "StackPolicyDuringUpdateBody": "stack policies are not supported",
    "StackPolicyDuringUpdateURL": "stack policies are not supported",
    "RetainExceptOnCreate": "write the DeletionPolicy RetainExceptOnCreate into the template",
    "ResourcesToImport": "existing resources cannot be imported into a stack",
    "ImportExistingResources": "existing resources cannot be imported into a stack",
    "DeploymentConfig": "resources are always made in the standard mode",
    "DisableValidation": "templates are always validated",
    "IncludeNestedStacks": "change sets of nested stacks are not made; execute the one of the parent",
    "DeletionMode": "a stack is deleted with its resources; retain those that cannot be deleted by RetainResources",
}
# Values that say nothing, beside those that are false.
_NEUTRAL = {"DeletionMode": "STANDARD"}


def translated(operation: Operation) -> Operation:
    """Return an operation that raises `AwsError` for what is wrong with a call."""

    @wraps(operation)
    def answer(call: Call) -> Answer:
        try:
            check_supported(call.parameters)
            return operation(call)
        except StackError as error:
            text = f"{error.message} ({error.hint})" if error.code == "ValidationError" and _explains(error) else None
            raise AwsError(error.code, text or error.message, error.status) from error
        except TemplateError as error:
            raise AwsError("ValidationError", error.reason) from error

    return answer


def check_supported(parameters: Mapping[str, Any]) -> None:
    """Raise `AwsError` for a parameter that would have no effect here."""
    for name, reason in _REASONS.items():
        value = parameters.get(name)
        if value and value != _NEUTRAL.get(name):
            raise AwsError("ValidationError", f"{name} is not supported: {reason}")
    if parameters.get("RollbackConfiguration", {}).get("RollbackTriggers"):
        raise AwsError("ValidationError", "RollbackTriggers are not supported: there are no alarms")


def stack_request(parameters: Mapping[str, Any]) -> StackRequest:
    """Return what a call wants a stack to be."""
    return StackRequest(
        _template(parameters),
        {given["ParameterKey"]: _value(given) for given in parameters.get("Parameters", ())},
        tag_mapping(parameters["Tags"]) if "Tags" in parameters else None,
        capabilities=parameters.get("Capabilities", ()),
    )


def tag_mapping(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return tags by their keys."""
    return {tag["Key"]: tag["Value"] for tag in tags}


def on_failure(parameters: Mapping[str, Any]) -> str:
    """Return what follows a failure. Raises `AwsError` if the call says it twice."""
    given = parameters.get("OnFailure") or parameters.get("OnStackFailure")
    if given and "DisableRollback" in parameters:
        raise AwsError("ValidationError", "You can specify either DisableRollback or OnFailure, but not both")
    return str(given or ("DO_NOTHING" if parameters.get("DisableRollback") else "ROLLBACK"))


def each(operations: Mapping[str, Callable[[Call], Answer]]) -> dict[str, Operation]:
    """Return operations whose errors are those of AWS."""
    return {name: translated(operation) for name, operation in operations.items()}


def _explains(error: StackError) -> bool:
    # The types that are offered are listed there.
    return bool(error.hint) and "Unrecognized resource types" in error.message


def _template(parameters: Mapping[str, Any]) -> str | None:
    body = parameters.get("TemplateBody")
    if parameters.get("UsePreviousTemplate"):
        if body is not None:
            raise AwsError("ValidationError", "You cannot specify both usePreviousTemplate and Template Body/URL.")
        return None
    if body is None:
        raise AwsError("ValidationError", "Either Template URL or Template Body must be specified.")
    return str(body)


def _value(given: Mapping[str, Any]) -> object:
    if not given.get("UsePreviousValue"):
        return given.get("ParameterValue", "")
    if "ParameterValue" in given:
        raise AwsError(
            "ValidationError",
            f"Invalid input for parameter key {given['ParameterKey']}. Cannot specify usePreviousValue as true and "
            "non empty value for a parameter",
        )
    return PREVIOUS_VALUE
