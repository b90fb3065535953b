"""Filters and pages of EC2's describing operations. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.aws.errors import AwsError

Item = Mapping[str, Any]


def matching(items: Iterable[Item], filters: Sequence[Mapping[str, Any]], paths: Mapping[str, str]) -> list[Item]:
    """Return the items that match each filter, in any of its values.

    `paths` has the path of each filter's values in an item, such as `Attachments.VpcId`. Filters for tags need none.
    `*` and `?` in a value stand for any characters, and for one. Raises `AwsError` for an unknown filter.
    """
    found = list(items)
    for each in filters:
        name, patterns = each.get("Name", ""), [_pattern(value) for value in each.get("Values", ())]
        found = [item for item in found if _matches(_values(item, name, paths), patterns)]
    return found


def page(items: Sequence[Item], parameters: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return one page of items in the output member `name`, and the token of the next page. Raises `AwsError`."""
    start = _offset(parameters["NextToken"]) if parameters.get("NextToken") else 0
    end = start + parameters.get("MaxResults", len(items))
    result: dict[str, Any] = {name: list(items[start:end])}
    if end < len(items):
        result["NextToken"] = base64.urlsafe_b64encode(f"offset:{end}".encode()).decode()
    return result


def _offset(token: str) -> int:
    try:
        text = base64.urlsafe_b64decode(token).decode()
        return int(text.removeprefix("offset:"))
    except (binascii.Error, ValueError):
        raise AwsError("InvalidNextToken", f"The token '{token}' is invalid") from None


def _values(item: Item, name: str, paths: Mapping[str, str]) -> set[str]:
    tags = {tag["Key"]: tag["Value"] for tag in item.get("Tags", item.get("TagSet", ()))}
    if name.startswith("tag:"):
        return {tags[name[4:]]} if name[4:] in tags else set()
    if name == "tag-key":
        return set(tags)
    if name not in paths:
        raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
    return set(_at(item, paths[name].split(".")))


def _at(value: Any, path: Sequence[str]) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _at(each, path)
    elif path:
        if isinstance(value, Mapping) and path[0] in value:
            yield from _at(value[path[0]], path[1:])
    else:
        yield str(value).lower() if isinstance(value, bool) else str(value)


def _matches(values: set[str], patterns: Sequence[re.Pattern[str]]) -> bool:
    return any(pattern.fullmatch(value) for pattern in patterns for value in values)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in text), re.DOTALL)
