"""The filters of DescribeParameters and GetParametersByPath."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.parameter_store.parameter import StoredParameter

_TAG = "tag:"
_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "Equals": lambda found, wanted: found == wanted,
    "BeginsWith": lambda found, wanted: found.startswith(wanted),
    "Contains": lambda found, wanted: wanted in found,
}


def is_listed(parameter: StoredParameter, filters: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a parameter passes all filters. Raises `AwsError` for a filter that is not valid."""
    return all(_passes(parameter, each) for each in filters)


def _passes(parameter: StoredParameter, wanted: Mapping[str, Any]) -> bool:
    key, values = wanted["Key"], wanted.get("Values") or []
    option = wanted.get("Option") or ("OneLevel" if key == "Path" else "Equals")
    if key == "Path":
        return any(_is_under(parameter.name, path, option) for path in values)
    if option not in _TESTS:
        raise AwsError("InvalidFilterOption", f"The following filter option is not valid: {option}")
    found = _property(parameter, key)
    if found is None:
        return False
    return not values or any(_TESTS[option](found, value) for value in values)


def _is_under(name: str, path: str, option: str) -> bool:
    if option not in ("OneLevel", "Recursive"):
        raise AwsError("InvalidFilterOption", f"The following filter option is not valid: {option}")
    folder = path.rstrip("/") + "/"
    rest = name.removeprefix(folder)
    return name.startswith(folder) and (option == "Recursive" or "/" not in rest)


def _property(parameter: StoredParameter, key: str) -> str | None:
    if key.startswith(_TAG):
        return parameter.tags.get(key.removeprefix(_TAG))
    version = parameter.latest
    found = {
        "Name": parameter.name,
        "Type": version.type,
        "KeyId": version.key_id,
        "Tier": version.tier,
        "DataType": "text",
    }
    if key not in found:
        raise AwsError("InvalidFilterKey", f"The following filter key is not valid: {key}")
    return found[key]
