"""Tags of load balancers, listeners, rules and target groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.elbv2.api import Api, tags_of
from pipeline.balancer.elbv2.limits import LIMITS, check_limit
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import BalancerResource

Result = Mapping[str, Any]


def add_tags(api: Api, call: Call) -> Result:
    """AddTags. A tag with the key of another one replaces it."""
    new = tags_of(call.parameters["Tags"])

    def change(view: View) -> Registry:
        found = [view.changeable(_tagged(view, arn)) for arn in call.parameters["ResourceArns"]]
        for one in found:
            check_limit(LIMITS.tags, 0, len({**one.tags, **new}))
        return view.registry.put(*(one.model_copy(update={"tags": {**one.tags, **new}}) for one in found))

    api.change(call, change)
    return {}


def remove_tags(api: Api, call: Call) -> Result:
    """RemoveTags. Does nothing for a key that is not there."""
    gone = set(call.parameters["TagKeys"])

    def change(view: View) -> Registry:
        found = [view.changeable(_tagged(view, arn)) for arn in call.parameters["ResourceArns"]]
        kept = [(one, {key: value for key, value in one.tags.items() if key not in gone}) for one in found]
        return view.registry.put(*(one.model_copy(update={"tags": tags}) for one, tags in kept))

    api.change(call, change)
    return {}


def describe_tags(api: Api, call: Call) -> Result:
    """DescribeTags."""
    view = api.view(call)
    return {
        "TagDescriptions": [
            {"ResourceArn": arn, "Tags": [{"Key": k, "Value": v} for k, v in _tagged(view, arn).tags.items()]}
            for arn in call.parameters["ResourceArns"]
        ]
    }


def _tagged(view: View, arn: str) -> BalancerResource:
    """Return the resource with tags. The tags of a default rule are those of its listener."""
    kind = arn.split(":", 5)[-1].partition("/")[0]
    match kind:
        case "loadbalancer":
            return view.load_balancer(arn)
        case "targetgroup":
            return view.target_group(arn)
        case "listener":
            return _found(view.listener, arn, kind)
        case "listener-rule":
            return _found(view.rule, arn, "rule")
        case "truststore":
            raise AwsError("TrustStoreNotFound", f"Trust store '{arn}' not found")
    raise AwsError("ValidationError", f"'{arn}' is not a valid ARN of a load balancer, target group, listener or rule")


def _found(find: Callable[[str], BalancerResource], arn: str, noun: str) -> BalancerResource:
    """Return a resource. AWS's words for a missing one differ from those of the other operations."""
    try:
        return find(arn)
    except AwsError as error:
        raise AwsError(error.code, f"The specified {noun} does not exist.") from error
