"""Drift: the difference between what a stack has stored and what exists."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from pipeline.base.clock import Stamp
from pipeline.stacks.plan import current_resources
from pipeline.stacks.provider import ResourceProvider
from pipeline.stacks.records import StackResource

IN_SYNC, DRIFTED, NOT_CHECKED = "IN_SYNC", "DRIFTED", "NOT_CHECKED"


def detect(
    stack_id: str,
    resources: Collection[StackResource],
    provider: Callable[[str], ResourceProvider[Any]],
    now: Stamp,
    names: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the drift of the current resources, or of those in `names`, in the shape of DescribeStackResourceDrifts.

    Reads every resource, and changes nothing. Raises what the providers raise.
    """
    found = [r for name, r in current_resources(resources).items() if names is None or name in names]
    return [_resource(stack_id, resource, provider(resource.known.type), now) for resource in found]


def status_of(drifts: Collection[Mapping[str, Any]]) -> str:
    """Return the status of a stack with these resources."""
    statuses = {drift["StackResourceDriftStatus"] for drift in drifts}
    return DRIFTED if statuses & {"MODIFIED", "DELETED"} else IN_SYNC


def _resource(stack_id: str, resource: StackResource, provider: ResourceProvider[Any], now: Stamp) -> dict[str, Any]:
    definition = resource.known
    drift: dict[str, Any] = {
        "StackId": stack_id,
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical_id,
        "ResourceType": definition.type,
        "ExpectedProperties": json.dumps(definition.properties),
        "PropertyDifferences": [],
        "StackResourceDriftStatus": NOT_CHECKED,
        "Timestamp": now.wall.isoformat(),
    }
    if resource.ignored:
        return drift
    state = None if resource.physical_id is None else provider.read(resource.physical_id)
    if state is None:
        return {**drift, "StackResourceDriftStatus": "DELETED"}
    if state.properties is None:
        return drift
    differences = list(_differences(definition.properties, state.properties, ""))
    return {
        **drift,
        "ActualProperties": json.dumps({key: state.properties.get(key) for key in definition.properties}),
        "PropertyDifferences": differences,
        "StackResourceDriftStatus": "MODIFIED" if differences else IN_SYNC,
    }


def _differences(expected: Any, actual: Any, path: str) -> Iterator[dict[str, Any]]:
    """Yield the differences in what a template has set. Values that it does not set may be anything."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            if key in actual:
                yield from _differences(value, actual[key], f"{path}/{key}")
            else:
                yield _difference(f"{path}/{key}", value, None, "REMOVE")
    elif _are_pairs(expected) and _are_pairs(actual):
        yield from _differences(_pairs(expected), _pairs(actual), path)
    elif expected != actual:
        yield _difference(path, expected, actual, "REMOVE" if actual is None else "NOT_EQUAL")


def _are_pairs(value: Any) -> bool:
    """Return whether a value is a list of tags or attributes, whose order means nothing."""
    return isinstance(value, list) and all(isinstance(each, dict) and each.keys() == {"Key", "Value"} for each in value)


def _pairs(value: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["Key"]: each["Value"] for each in value}


def _difference(path: str, expected: object, actual: object, kind: str) -> dict[str, Any]:
    return {
        "PropertyPath": path,
        "ExpectedValue": _text(expected),
        "ActualValue": "null" if actual is None else _text(actual),
        "DifferenceType": kind,
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
