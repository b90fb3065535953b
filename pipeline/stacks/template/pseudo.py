"""The pseudo parameters, `AWS::Region` and others."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.stacks.template.values import JSON

NO_VALUE = "AWS::NoValue"
PSEUDO_PARAMETERS = frozenset(
    {
        NO_VALUE,
        "AWS::AccountId",
        "AWS::NotificationARNs",
        "AWS::Partition",
        "AWS::Region",
        "AWS::StackId",
        "AWS::StackName",
        "AWS::URLSuffix",
    }
)


def pseudo_parameters(
    *, account: str, region: str, stack_name: str, stack_id: str, notifications: Sequence[str] = ()
) -> dict[str, JSON]:
    """Return the values of all pseudo parameters but AWS::NoValue. `stack_id` is the ARN of the stack."""
    partition, suffix = _partition(region)
    return {
        "AWS::AccountId": account,
        "AWS::NotificationARNs": list(notifications),
        "AWS::Partition": partition,
        "AWS::Region": region,
        "AWS::StackId": stack_id,
        "AWS::StackName": stack_name,
        "AWS::URLSuffix": suffix,
    }


def _partition(region: str) -> tuple[str, str]:
    if region.startswith("cn-"):
        return "aws-cn", "amazonaws.com.cn"
    return ("aws-us-gov" if region.startswith("us-gov-") else "aws"), "amazonaws.com"
