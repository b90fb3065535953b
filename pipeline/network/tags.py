"""Tags of networks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.network.filters import matching, page
from pipeline.network.state import Resource, State
from pipeline.network.vpc_endpoints import Tagged

MAX_TAGS = 50
_PATHS = {"resource-id": "ResourceId", "resource-type": "ResourceType", "key": "Key", "value": "Value"}


def tags_of(call: Call, kind: str) -> dict[str, str]:
    """Return the tags for a new resource of a type, such as `vpc`.

    Raises `AwsError` if some are invalid or for another type of resource.
    """
    found: dict[str, str] = {}
    for each in call.parameters.get("TagSpecifications", ()):
        if each.get("ResourceType") != kind:
            text = f"'{each.get('ResourceType')}' is not a valid taggable resource type for this operation."
            raise AwsError("InvalidParameterValue", text)
        found |= checked_tags(each.get("Tags", ()))
    return found


def checked_tags(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the tags of a request by their keys. Raises `AwsError` if some are invalid."""
    found: dict[str, str] = {}
    for tag in tags:
        key = tag.get("Key", "")
        if not 1 <= len(key) <= 127 or len(tag.get("Value", "")) > 255:
            text = f"Tag '{key}' exceeds the limits: a key has 1 to 127 characters, and a value up to 255"
            raise AwsError("InvalidParameterValue", text)
        if key.startswith("aws:"):
            raise AwsError("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
        if key in found:
            raise AwsError("InvalidParameterValue", f"Duplicate tag key '{key}' specified.")
        found[key] = tag.get("Value", "")
    _check_number(found)
    return found


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as EC2 describes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def create_tags(call: Call, state: State, others: Collection[str]) -> tuple[State, dict[str, Any]]:
    """Add or replace tags of some resources. `others`: ids of those that are not in the state, which are left out."""
    return state.put(*(replace(each, tags=added_tags(call, each.tags)) for each in _chosen(call, state, others))), {}


def delete_tags(call: Call, state: State, others: Collection[str]) -> tuple[State, dict[str, Any]]:
    """Remove tags of some resources. `others`: as in `create_tags`."""
    return state.put(*(replace(each, tags=left_tags(call, each.tags)) for each in _chosen(call, state, others))), {}


def added_tags(call: Call, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a resource after CreateTags. Raises `AwsError`."""
    after = {**tags, **checked_tags(call.parameters["Tags"])}
    _check_number(after)
    return after


def left_tags(call: Call, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a resource after DeleteTags.

    It removes those with the keys, and with the values if they are given. Without tags in the call, it removes all.
    """
    wanted = {tag["Key"]: tag.get("Value") for tag in call.parameters.get("Tags", ()) if "Key" in tag}
    is_all = "Tags" not in call.parameters

    def is_kept(key: str, value: str) -> bool:
        return not is_all and (key not in wanted or wanted[key] not in (None, value))

    return {key: value for key, value in tags.items() if is_kept(key, value)}


def describe_tags(call: Call, state: State, endpoints: Mapping[str, Tagged]) -> dict[str, Any]:
    """Describe the tags of all resources, also of an owner's endpoints and endpoint services."""
    own = (each for each in state.resources.values() if each.owner == call.owner)
    known = {**{each.id: Tagged(each.kind.label, each.tags) for each in own}, **endpoints}
    found = [
        {"ResourceId": id_, "ResourceType": each.kind, "Key": key, "Value": value}
        for id_, each in known.items()
        for key, value in each.tags.items()
    ]
    return page(matching(found, call.parameters.get("Filters", ()), _PATHS), call.parameters, "Tags")


def _check_number(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise AwsError("TagLimitExceeded", f"The maximum number of Tags for a resource has been reached ({MAX_TAGS}).")


def _chosen(call: Call, state: State, others: Collection[str]) -> list[Resource]:
    found = []
    for name in call.parameters["Resources"]:
        if name in others:
            continue
        resource = state.resources.get(name)
        if resource is None or resource.owner != call.owner:
            raise AwsError("InvalidID", f"The ID '{name}' is not valid")
        found.append(resource)
    return found
