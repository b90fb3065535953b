"""What botocore's clients send and read is what the wire reads and writes, for random valid values."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.aws.message import HttpResponse
from pipeline.aws.model import protocol
from pipeline.aws.request import read_input
from pipeline.aws.response import write_output
from tests.support.sample import sampled
from tests.unit.aws.values import Values, model

_EC2 = (
    "AuthorizeSecurityGroupIngress",
    "CreateRoute",
    "CreateSubnet",
    "CreateTags",
    "CreateVpc",
    "DescribeInternetGateways",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "DescribeVpcs",
    "ModifyVpcAttribute",
)
_STACKS = ("CreateStack", "CreateChangeSet", "DescribeStacks", "DescribeStackEvents", "ValidateTemplate")
_ACM = ("ImportCertificate", "DescribeCertificate", "ListCertificates", "RequestCertificate", "AddTagsToCertificate")
_MODELS = {name: model(name) for name in ("elbv2", "ec2", "cloudformation", "acm", "sts")}
_SENT = {
    "elbv2": Values(least_entries=1),
    "ec2": Values(least_items=1, least_entries=1),
    "cloudformation": Values(least_entries=1),
    "acm": Values(),
    "sts": Values(least_entries=1),
}
_OPERATIONS = [
    *(("elbv2", name) for name in _MODELS["elbv2"].operation_names),
    *(("ec2", name) for name in _EC2),
    *(("cloudformation", name) for name in _STACKS),
    *(("acm", name) for name in _ACM),
    ("sts", "GetCallerIdentity"),
]
_SETTINGS = settings(
    max_examples=sampled(25),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def _read(operation: OperationModel, request: dict[str, Any]) -> dict[str, Any]:
    kind = protocol(operation.service_model)
    if kind == "json":
        return read_input(operation, kind, {}, request["body"])
    return read_input(operation, kind, {name: str(value) for name, value in request["body"].items()}, b"")


def _parsed(operation: OperationModel, response: HttpResponse) -> dict[str, Any]:
    parser = create_parser(protocol(operation.service_model))
    received = {"status_code": response.status, "headers": dict(response.headers), "body": response.body}
    found: dict[str, Any] = parser.parse(received, operation.output_shape)
    assert found.pop("ResponseMetadata")["RequestId"] == "some-id"
    return found


@pytest.mark.parametrize(("service", "name"), _OPERATIONS)
@_SETTINGS
@given(data=st.data())
def test_input(service: str, name: str, data: st.DataObject) -> None:
    """A valid input that botocore serializes is read as the same input, and is valid."""
    operation = _MODELS[service].operation_model(name)
    sent = data.draw(_SENT[service].root(operation.input_shape))
    serializer = create_serializer(protocol(operation.service_model))
    request = serializer.serialize_to_request(sent, operation)
    assert _read(operation, request) == sent


@pytest.mark.parametrize(("service", "name"), _OPERATIONS)
@_SETTINGS
@given(data=st.data())
def test_output(service: str, name: str, data: st.DataObject) -> None:
    """A valid result that the wire writes is read by botocore as the same result."""
    operation = _MODELS[service].operation_model(name)
    result = data.draw(Values().root(operation.output_shape))
    response = write_output(operation, protocol(operation.service_model), result, "some-id")
    assert _parsed(operation, response) == result
