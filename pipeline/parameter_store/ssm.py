"""SSM's API over the parameters of a home: the part of it that is the parameter store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pipeline.aws.errors import AwsError
from pipeline.aws.service import ACCOUNT, Call, Operation, Service
from pipeline.parameter_store.filters import is_listed
from pipeline.parameter_store.parameter import SECURE, StoredParameter, Version, split_selector
from pipeline.parameter_store.rules import check_name, check_value
from pipeline.parameter_store.store import ParameterStore

API = "api"
DEFAULT_KEY = "alias/aws/ssm"
MAX_TAGS = 50
_ENCRYPTED = "(encrypted: ask with WithDecryption)"
_REFUSED = {
    "AllowedPattern": "values are not checked here; check them before the call",
    "Policies": "parameters do not expire here",
}


def ssm_service(store: ParameterStore, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Service:
    """Return the service. `now` is the time in UTC."""
    ssm = _Ssm(store, now)
    operations: dict[str, Operation] = {
        "PutParameter": ssm.put,
        "GetParameter": ssm.get,
        "GetParameters": ssm.get_several,
        "GetParametersByPath": ssm.get_by_path,
        "GetParameterHistory": ssm.history,
        "DescribeParameters": ssm.describe,
        "DeleteParameter": ssm.delete,
        "DeleteParameters": ssm.delete_several,
        "AddTagsToResource": ssm.add_tags,
        "RemoveTagsFromResource": ssm.remove_tags,
        "ListTagsForResource": ssm.list_tags,
    }
    return Service("ssm", "2014-11-06", "ssm", operations)


class _Ssm:
    def __init__(self, store: ParameterStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def put(self, call: Call) -> dict[str, Any]:
        """Make a parameter, or with Overwrite a new version of it."""
        given = call.parameters
        _check_put(given)
        changed = self._store.change(call.owner, given["Name"], lambda known: self._put(call, known))
        assert changed is not None
        return {"Version": changed.latest.number, "Tier": changed.latest.tier}

    def get(self, call: Call) -> dict[str, Any]:
        """Return the value of a parameter, or of `NAME:VERSION`."""
        selector = call.parameters["Name"]
        name, number = _selector(selector)
        found = self._found(call, name)
        version = found.latest if number is None else found.version(number)
        if version is None:
            text = f"Systems Manager could not find version {number} of {name}. Verify the version and try again."
            raise AwsError("ParameterVersionNotFound", text)
        return {"Parameter": _value(call, found, version, selector)}

    def get_several(self, call: Call) -> dict[str, Any]:
        """Return the values of parameters, and the names of those that do not exist."""
        found, invalid = [], []
        for name in call.parameters["Names"]:
            try:
                found.append(self.get(replace(call, parameters={**call.parameters, "Name": name}))["Parameter"])
            except AwsError:
                invalid.append(name)
        return {"Parameters": found, "InvalidParameters": invalid}

    def get_by_path(self, call: Call) -> dict[str, Any]:
        """Return the values of the parameters under a path."""
        given = call.parameters
        path = given["Path"].rstrip("/") + "/"
        if not path.startswith("/"):
            raise AwsError("ValidationException", f"The parameter doesn't meet the parameter name requirements: {path}")
        filters = given.get("ParameterFilters", ())
        found = [
            _value(call, each, each.latest)
            for each in self._store.all(call.owner)
            if each.name.startswith(path)
            and (given.get("Recursive") or "/" not in each.name.removeprefix(path))
            and is_listed(each, filters)
        ]
        return _page(call, "Parameters", found, 10)

    def history(self, call: Call) -> dict[str, Any]:
        """Return the versions of a parameter, oldest first."""
        found = self._found(call, call.parameters["Name"])
        versions = [{**_described(found, each), "Value": _shown(call, each), "Labels": []} for each in found.versions]
        return _page(call, "Parameters", versions, 50)

    def describe(self, call: Call) -> dict[str, Any]:
        """Return the parameters without their values."""
        given = call.parameters
        filters = given.get("ParameterFilters") or [
            {"Key": each["Key"], "Values": each["Values"]} for each in given.get("Filters", ())
        ]
        found = [
            {**_described(each, each.latest), "ARN": each.arn}
            for each in self._store.all(call.owner)
            if is_listed(each, filters)
        ]
        return _page(call, "Parameters", found, 50)

    def delete(self, call: Call) -> dict[str, Any]:
        """Delete a parameter with its versions."""
        name = call.parameters["Name"]
        self._found(call, name)
        self._store.change(call.owner, name, lambda _: None)
        return {}

    def delete_several(self, call: Call) -> dict[str, Any]:
        """Delete parameters, and return the names of those that do not exist."""
        deleted: list[str] = []
        invalid: list[str] = []
        for name in call.parameters["Names"]:
            (deleted if self._store.find(call.owner, name) else invalid).append(name)
            self._store.change(call.owner, name, lambda _: None)
        return {"DeletedParameters": deleted, "InvalidParameters": invalid}

    def add_tags(self, call: Call) -> dict[str, Any]:
        """Add or replace tags."""
        self._change_tags(call, lambda tags: {**tags, **_tags(call)})
        return {}

    def remove_tags(self, call: Call) -> dict[str, Any]:
        """Remove tags by their keys."""
        keys = set(call.parameters["TagKeys"])
        self._change_tags(call, lambda tags: {key: value for key, value in tags.items() if key not in keys})
        return {}

    def list_tags(self, call: Call) -> dict[str, Any]:
        """List the tags of a parameter."""
        tags = self._tagged(call).tags
        return {"TagList": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _put(self, call: Call, known: StoredParameter | None) -> StoredParameter:
        given = call.parameters
        if known is not None and not given.get("Overwrite"):
            raise AwsError(
                "ParameterAlreadyExists",
                "The parameter already exists. To overwrite this value, set the overwrite option in the request to"
                " true.",
            )
        if known is None and "Type" not in given:
            raise AwsError("ValidationException", "A parameter type is required when you create a parameter.")
        former = known.latest if known else None
        kind = given.get("Type") or (former.type if former else "")
        version = Version(
            (former.number if former else 0) + 1,
            kind,
            given["Value"],
            self._now(),
            given.get("Description", former.description if former else ""),
            _tier(given, former),
            (given.get("KeyId") or DEFAULT_KEY) if kind == SECURE else None,
        )
        if known is None:
            return StoredParameter(call.owner, call.region, given["Name"], API, (version,), tags=_tags(call))
        return known.with_version(version)

    def _found(self, call: Call, name: str) -> StoredParameter:
        found = self._store.find(call.owner, name)
        if found is None:
            raise AwsError("ParameterNotFound", f"Parameter {name} not found.")
        return found

    def _tagged(self, call: Call) -> StoredParameter:
        """Return the parameter whose tags are meant."""
        given = call.parameters
        if given["ResourceType"] != "Parameter":
            raise AwsError(
                "InvalidResourceType", f"{given['ResourceType']}: only the type Parameter has resources here"
            )
        found = self._store.find(call.owner, given["ResourceId"])
        if found is None:
            raise AwsError("InvalidResourceId", f"Parameter {given['ResourceId']} not found.")
        return found

    def _change_tags(self, call: Call, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        def changed(known: StoredParameter | None) -> StoredParameter | None:
            return known and replace(known, tags=_limited(change(known.tags)))

        self._store.change(call.owner, self._tagged(call).name, changed)


def _check_put(given: Mapping[str, Any]) -> None:
    for name, reason in _REFUSED.items():
        if given.get(name):
            raise AwsError("ValidationException", f"{name} is not supported: {reason}")
    if given.get("DataType", "text") != "text":
        raise AwsError("ValidationException", f"DataType {given['DataType']} is not supported: use text")
    if given.get("Tags") and given.get("Overwrite"):
        raise AwsError(
            "ValidationException",
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove"
            " overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or"
            " RemoveTagsFromResource.",
        )
    check_name(given["Name"])
    check_value(given["Value"], given.get("Tier", "Standard"))


def _selector(text: str) -> tuple[str, int | None]:
    try:
        return split_selector(text)
    except ValueError:
        raise AwsError("ParameterNotFound", f"Parameter {text} not found. Labels are not offered.") from None


def _tier(given: Mapping[str, Any], former: Version | None) -> str:
    tier = str(given.get("Tier") or (former.tier if former else "Standard"))
    if tier == "Intelligent-Tiering":
        return "Advanced" if len(given["Value"].encode()) > 4096 else "Standard"
    return tier


def _shown(call: Call, version: Version) -> str:
    return _ENCRYPTED if version.type == SECURE and not call.parameters.get("WithDecryption") else version.value


def _value(call: Call, found: StoredParameter, version: Version, selector: str = "") -> dict[str, Any]:
    """Return a `Parameter`."""
    return {
        "Name": found.name,
        "Type": version.type,
        "Value": _shown(call, version),
        "Version": version.number,
        "Selector": selector.removeprefix(found.name) or None,
        "LastModifiedDate": version.changed,
        "ARN": found.arn,
        "DataType": "text",
    }


def _described(found: StoredParameter, version: Version) -> dict[str, Any]:
    """Return a `ParameterMetadata`, but for its ARN."""
    return {
        "Name": found.name,
        "Type": version.type,
        "KeyId": version.key_id,
        "LastModifiedDate": version.changed,
        "LastModifiedUser": f"arn:aws:iam::{ACCOUNT}:user/{found.owner}",
        "Description": version.description or None,
        "Version": version.number,
        "Tier": version.tier,
        "Policies": [],
        "DataType": "text",
    }


def _page(call: Call, name: str, found: Sequence[Mapping[str, Any]], size: int) -> dict[str, Any]:
    token = call.parameters.get("NextToken") or "0"
    if not token.isdecimal():
        raise AwsError("InvalidNextToken", "The specified token is not valid.")
    start = int(token)
    end = start + call.parameters.get("MaxResults", size)
    return {name: list(found[start:end]), "NextToken": str(end) if end < len(found) else None}


def _tags(call: Call) -> dict[str, str]:
    return _limited({tag["Key"]: tag["Value"] for tag in call.parameters.get("Tags", ())})


def _limited(tags: Mapping[str, str]) -> dict[str, str]:
    if len(tags) > MAX_TAGS:
        raise AwsError("TooManyTagsError", f"A parameter has at most {MAX_TAGS} tags")
    return dict(tags)
