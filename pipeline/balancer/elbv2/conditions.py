"""Conditions of rules, from AWS's shape to the model and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from pipeline.aws.errors import AwsError
from pipeline.balancer.elbv2.api import checked
from pipeline.balancer.model import Condition

Shape = Mapping[str, Any]
_LONGEST, _LONGEST_NAME, _MOST_VALUES = 128, 40, 5
# Field → the member that holds its values.
_CONFIGS = {
    "host-header": "HostHeaderConfig",
    "path-pattern": "PathPatternConfig",
    "http-header": "HttpHeaderConfig",
    "query-string": "QueryStringConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "source-ip": "SourceIpConfig",
}
_ALWAYS = Condition.model_validate({"path_pattern": ["*"]})
_SHORT = ("host-header", "path-pattern")


def parse_conditions(given: Sequence[Shape]) -> tuple[Condition, ...]:
    """Return the models of conditions. Raises `AwsError` for what they cannot be.

    Without a condition, all of them hold for every request. The model needs one that says so.
    """
    found = tuple(map(_parse, given)) or (_ALWAYS,)
    if sum(condition.count() for condition in found) > _MOST_VALUES:
        raise _invalid(f"A rule can only have '{_MOST_VALUES}' condition values")
    return found


def shown_conditions(conditions: Sequence[Condition], kept: JsonValue) -> list[Any]:
    """Return conditions in AWS's shape: as they were given, or those of a declaration."""
    return kept if isinstance(kept, list) else list(map(_declared, conditions))


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message)


def _parse(given: Shape) -> Condition:
    field = given.get("Field")
    if field is None:
        raise _invalid("A condition field must be specified")
    if field not in _CONFIGS:
        names = ", ".join(_CONFIGS)
        raise _invalid(f"Condition field '{field}' must be one of '[{names}]'")
    unfit = {*given} - {"Field", _CONFIGS[field], *(("Values", "RegexValues") if field in _SHORT else ())}
    for name in sorted(name for name in unfit if given[name]):
        raise _invalid(f"The '{name}' field is not compatible with '{field}'")
    config = _PARSERS[field](given)
    return checked(Condition, {field.replace("-", "_"): config})


def _host_or_path(given: Shape) -> dict[str, Any]:
    field = given["Field"]
    config = given.get(_CONFIGS[field], {})
    if config and given.get("Values"):
        raise _invalid(f"You cannot provide both Values and '{_CONFIGS[field]}' for a condition of type '{field}'")
    values, regexes = given.get("Values") or config.get("Values", ()), given.get("RegexValues", ())
    regexes = regexes or config.get("RegexValues", ())
    if given.get("Values") and len(values) > 1:
        raise _invalid(f"The '{field}' field contains too many values; the limit is '1'")
    return _values(field, values, regexes)


def _header(given: Shape) -> dict[str, Any]:
    config = _config(given)
    name = config.get("HttpHeaderName", "")
    if not name:
        raise _invalid("A 'HttpHeaderName' must be specified in 'HttpHeaderConfig'")
    if len(name) > _LONGEST_NAME:
        raise _invalid(f"The 'HttpHeaderName' value is too long; the limit is '{_LONGEST_NAME}'")
    return {"name": name, **_values(given["Field"], config.get("Values", ()), config.get("RegexValues", ()))}


def _values(field: str, values: Sequence[str], regexes: Sequence[str]) -> dict[str, Any]:
    if not values and not regexes:
        raise _invalid("A condition value must be specified")
    for value in (*values, *regexes):
        if len(value) > _LONGEST:
            raise _invalid(f"The '{field}' value is too long; the limit is '{_LONGEST}'")
    return {name: list(found) for name, found in (("values", values), ("regex_values", regexes)) if found}


def _method(given: Shape) -> dict[str, Any]:
    values = _config(given).get("Values", ())
    for value in values:
        if len(value) > _LONGEST_NAME:
            raise _invalid(f"The 'http-request-method' value is too long; the limit is '{_LONGEST_NAME}'")
        if not re.fullmatch("[A-Z_-]+", value):
            allowed = "the allowed characters are A-Z, hyphen and underscore"
            raise _invalid(f"The 'http-request-method' value is invalid; {allowed}")
    return _some(given, values)


def _query(given: Shape) -> dict[str, Any]:
    pairs = _config(given).get("Values", ())
    for pair in pairs:
        if "Value" not in pair:
            raise _invalid("A 'Value' must be specified in 'QueryStringKeyValuePair'")
        for name in ("Key", "Value"):
            if len(pair.get(name, "")) > _LONGEST:
                raise _invalid(f"The '{name}' value is too long; the limit is '{_LONGEST}'")
    found = [{name.lower(): pair[name] for name in ("Key", "Value") if pair.get(name) is not None} for pair in pairs]
    return _some(given, found)


def _source(given: Shape) -> dict[str, Any]:
    return _some(given, _config(given).get("Values", ()))


def _config(given: Shape) -> Shape:
    name = _CONFIGS[given["Field"]]
    if name not in given:
        raise _invalid(f"A '{name}' must be specified with '{given['Field']}'")
    found: Shape = given[name]
    return found


def _some(given: Shape, values: Sequence[Any]) -> dict[str, Any]:
    if not values:
        raise _invalid(f"A '{given['Field']}' value must be specified")
    return {"values": list(values)}


_PARSERS: dict[str, Callable[[Shape], dict[str, Any]]] = {
    "host-header": _host_or_path,
    "path-pattern": _host_or_path,
    "http-header": _header,
    "query-string": _query,
    "http-request-method": _method,
    "source-ip": _source,
}


def _declared(condition: Condition) -> Shape:
    field, config = condition.kind.replace("_", "-"), condition.config
    if field == "query-string":
        pairs = [{**({"Key": pair.key} if pair.key else {}), "Value": pair.value} for pair in config.values]
        return {"Field": field, _CONFIGS[field]: {"Values": pairs}}
    values: dict[str, Any] = {"Values": list(config.values)} if config.values else {}
    if getattr(config, "regex_values", ()):
        values["RegexValues"] = list(config.regex_values)
    if field == "http-header":
        values = {"HttpHeaderName": config.name, **values}
    return {"Field": field, _CONFIGS[field]: values}
