"""Attributes and tags of ELBv2's resources, brought to what a template says."""

from __future__ import annotations

from pipeline.balancer.elbv2.target_group_attributes import DELAY_KEY
from pipeline.balancer.elbv2.target_groups import DELAY
from pipeline.balancer.resources import ListenerResource, LoadBalancerResource, TargetGroupResource
from pipeline.stacks.providers.elbv2.client import Elbv2
from pipeline.stacks.providers.elbv2.properties import KeyValue, listed, pairs

Given = tuple[KeyValue, ...]
# The API's defaults, where they are not those of the model, which an empty text sets.
_DEFAULTS = {DELAY_KEY: str(DELAY), "zonal_shift.config.enabled": "false"}


def set_attributes(
    elbv2: Elbv2,
    noun: str,
    arn: str,
    before: Given,
    after: Given,
    resource: LoadBalancerResource | TargetGroupResource | ListenerResource,
) -> None:
    """Set the attributes in `after`. Those that are only in `before` get their defaults."""
    wanted = pairs(after)
    # An attribute that means nothing here has only its default.
    known = {str(field.alias) for field in type(resource.settings.attributes).model_fields.values()} | {DELAY_KEY}
    gone = {key: _DEFAULTS.get(key, "") for key in pairs(before) if key not in wanted and key in known}
    if values := {**gone, **wanted}:
        elbv2(f"Modify{noun}Attributes", **{f"{noun}Arn": arn}, Attributes=listed(values))


def set_tags(elbv2: Elbv2, arn: str, after: Given) -> None:
    """Give a resource the tags of the stack and its own, and no others."""
    wanted = elbv2.tags(pairs(after))
    found = elbv2("DescribeTags", ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
    present = {tag["Key"]: tag["Value"] for tag in found}
    if gone := [key for key in present if key not in wanted]:
        elbv2("RemoveTags", ResourceArns=[arn], TagKeys=gone)
    if any(present.get(key) != value for key, value in wanted.items()):
        elbv2("AddTags", ResourceArns=[arn], Tags=listed(wanted))


def shown_attributes(elbv2: Elbv2, noun: str, arn: str) -> list[dict[str, str]]:
    """Return all attributes of a resource."""
    found: list[dict[str, str]] = elbv2(f"Describe{noun}Attributes", **{f"{noun}Arn": arn})["Attributes"]
    return found
