"""The constraints of the models, in AWS's words."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.aws.errors import AwsError
from pipeline.aws.model import protocol, service_model
from pipeline.aws.request import read_input
from pipeline.aws.validation import violations

VERSIONS = {"elbv2": "2015-12-01", "ec2": "2016-11-15", "acm": "2015-12-08", "sts": "2011-06-15"}
TAG_PATTERN = r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$"


def broken(service: str, operation: str, **parameters: Any) -> list[str]:
    shape = service_model(service, VERSIONS[service]).operation_model(operation).input_shape
    return violations(shape, parameters)


@pytest.mark.parametrize(
    ("operation", "parameters", "expected"),
    [
        (
            "DescribeTargetHealth",
            {},
            ["Value null at 'targetGroupArn' failed to satisfy constraint: Member must not be null"],
        ),
        (
            "CreateTargetGroup",
            {"Name": "a", "Protocol": "SCTP"},
            [
                "Value 'SCTP' at 'protocol' failed to satisfy constraint: Member must satisfy enum value set: "
                "[HTTP, HTTPS, TCP, TLS, UDP, TCP_UDP, GENEVE, QUIC, TCP_QUIC]"
            ],
        ),
        (
            "CreateTargetGroup",
            {"Name": "a", "Port": 0, "HealthyThresholdCount": 11},
            [
                "Value '0' at 'port' failed to satisfy constraint: Member must have value greater than or equal to 1",
                "Value '11' at 'healthyThresholdCount' failed to satisfy constraint: "
                "Member must have value less than or equal to 10",
            ],
        ),
        (
            "ModifyTargetGroupAttributes",
            {"TargetGroupArn": "a", "Attributes": [{}, {"Key": "k" * 257}]},
            [
                f"Value '{'k' * 257}' at 'attributes.2.member.key' failed to satisfy constraint: "
                "Member must have length less than or equal to 256"
            ],
        ),
        (
            "AddTags",
            {"ResourceArns": ["a"], "Tags": []},
            ["Value '[]' at 'tags' failed to satisfy constraint: Member must have length greater than or equal to 1"],
        ),
        (
            "AddTags",
            {"ResourceArns": ["a"], "Tags": [{"Key": "é \u00a0日本_.:/=+-@", "Value": "a;b"}]},
            [
                "Value 'a;b' at 'tags.1.member.value' failed to satisfy constraint: "
                f"Member must satisfy regular expression pattern: {TAG_PATTERN}"
            ],
        ),
        ("DescribeTargetGroups", {"Names": ["a"], "PageSize": 400}, []),
    ],
)
def test_violations(operation: str, parameters: dict[str, Any], expected: list[str]) -> None:
    """Each broken constraint has the sentence that AWS answers."""
    assert broken("elbv2", operation, **parameters) == expected


def test_unreadable_pattern() -> None:
    """A pattern that Python cannot read does not refuse a value."""
    model = service_model("logs", "2014-03-28")
    shape = model.operation_model("StartLiveTail").input_shape
    assert violations(shape, {"logGroupIdentifiers": ["arn:aws:logs:a:b"]}) == []


@pytest.mark.parametrize(
    ("service", "operation", "form", "body", "expected"),
    [
        (
            "elbv2",
            "CreateTargetGroup",
            {"Name": "a", "Port": "0", "Protocol": "x"},
            b"",
            ("ValidationError", "2 validation errors detected: Value '0' at 'port'"),
        ),
        (
            "acm",
            "DescribeCertificate",
            {},
            b'{"CertificateArn": "short"}',
            ("ValidationException", "2 validation errors detected: Value 'short' at 'certificateArn'"),
        ),
        (
            "ec2",
            "DeleteVpc",
            {},
            b"",
            ("MissingParameter", "The request must contain the parameter VpcId"),
        ),
        (
            "ec2",
            "DescribeVpcAttribute",
            {"VpcId": "vpc-1", "Attribute": "x"},
            b"",
            ("InvalidParameterValue", "1 validation error detected: Value 'x' at 'attribute'"),
        ),
        ("sts", "GetCallerIdentity", {"A": "b"}, b"", ("UnknownParameter", "The parameter A is not recognized")),
    ],
)
def test_codes(service: str, operation: str, form: dict[str, str], body: bytes, expected: tuple[str, str]) -> None:
    """Each protocol has its own code for an invalid input."""
    model = service_model(service, VERSIONS[service])
    with pytest.raises(AwsError) as caught:
        read_input(model.operation_model(operation), protocol(model), {"Action": operation, **form}, body)
    assert caught.value.code == expected[0]
    assert caught.value.message.startswith(expected[1])
