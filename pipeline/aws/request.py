"""The input of an operation: parsed by its protocol and checked against the constraints of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.aws.errors import AwsError
from pipeline.aws.form import FormReader
from pipeline.aws.json_body import read_json
from pipeline.aws.validation import violations

if TYPE_CHECKING:
    from botocore.model import OperationModel

# Not parameters of an operation, but of the form that carries it.
_ENVELOPE = ("Action", "Version")


def read_input(operation: OperationModel, protocol: str, form: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the input of an operation in the model's names and types. Raises `AwsError`.

    `form` is used by the protocols `query` and `ec2`, `body` by `json`.
    """
    shape = operation.input_shape
    if protocol == "json":
        found = read_json(shape, body)
    else:
        fields = {name: value for name, value in form.items() if name not in _ENVELOPE}
        found = FormReader(ec2=protocol == "ec2").read(shape, fields)
    if shape is not None:
        _check(operation, found, protocol)
    return found


def _check(operation: OperationModel, found: dict[str, Any], protocol: str) -> None:
    if protocol == "ec2":
        for name in operation.input_shape.required_members:
            if name not in found:
                raise AwsError("MissingParameter", f"The request must contain the parameter {name}")
    if broken := violations(operation.input_shape, found):
        code = {"json": "ValidationException", "ec2": "InvalidParameterValue"}.get(protocol, "ValidationError")
        noun = "validation error" if len(broken) == 1 else "validation errors"
        raise AwsError(code, f"{len(broken)} {noun} detected: {'; '.join(broken)}")
