"""Responses that random values do not show."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from botocore.parsers import create_parser

from pipeline.aws.errors import AwsError
from pipeline.aws.model import service_model
from pipeline.aws.response import write_error, write_output

ELBV2 = service_model("elbv2", "2015-12-01")
EC2 = service_model("ec2", "2016-11-15")
LOGS = service_model("logs", "2014-03-28")


def test_characters() -> None:
    """What XML cannot carry is replaced, so that the response stays readable. All line ends survive."""
    operation = ELBV2.operation_model("DescribeTags")
    described = {"ResourceArn": "a\x00b", "Tags": [{"Key": "k", "Value": "<a>&amp; \r\n\t"}]}
    response = write_output(operation, "query", {"TagDescriptions": [described]}, "id")
    found = create_parser("query").parse(
        {"status_code": 200, "headers": {}, "body": response.body}, operation.output_shape
    )
    assert found["TagDescriptions"] == [{"ResourceArn": "a\ufffdb", "Tags": described["Tags"]}]


def test_times() -> None:
    """A time is written in UTC with milliseconds."""
    time = datetime(2026, 1, 1, 1, 0, 0, 123456, timezone(timedelta(hours=1)))
    response = write_output(
        ELBV2.operation_model("DescribeLoadBalancers"), "query", {"LoadBalancers": [{"CreatedTime": time}]}, "id"
    )
    assert b"<CreatedTime>2026-01-01T00:00:00.123Z</CreatedTime>" in response.body


def test_empty_lists() -> None:
    """An empty list is printed, and so is the wrapper of a result without members."""
    written = write_output(ELBV2.operation_model("DescribeTargetGroups"), "query", {"TargetGroups": []}, "id").body
    assert b"<DescribeTargetGroupsResult><TargetGroups /></DescribeTargetGroupsResult>" in written
    assert b"<AddTagsResult />" in write_output(ELBV2.operation_model("AddTags"), "query", {}, "id").body


def test_no_output() -> None:
    """An operation without an output shape answers with the request's id only, and may not return anything."""
    written = write_output(EC2.operation_model("DeleteVpc"), "ec2", {}, "id").body
    assert b"<requestId>id</requestId></DeleteVpcResponse>" in written
    with pytest.raises(ValueError, match="has no output"):
        write_output(LOGS.operation_model("CreateLogGroup"), "json", {"a": "b"}, "id")


@pytest.mark.parametrize(("status", "kind"), [(400, "Sender"), (503, "Receiver")])
def test_error_type(status: int, kind: str) -> None:
    """An error of the client and one of the server differ in their type."""
    response = write_error(ELBV2.metadata, "query", AwsError("Code", "a\x01<", status), "id")
    found = create_parser("query").parse({"status_code": status, "headers": {}, "body": response.body}, None)
    assert found["Error"] == {"Type": kind, "Code": "Code", "Message": "a\ufffd<"}
