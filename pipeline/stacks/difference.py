"""The difference between a stack and another template, in the form of change sets. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.base.errors import ConfigError
from pipeline.stacks.masking import MASK
from pipeline.stacks.plan import changed_properties, current_resources
from pipeline.stacks.properties import normalize
from pipeline.stacks.provider import ResourceProvider
from pipeline.stacks.records import Definition, Goal, StackResource
from pipeline.stacks.state import attribute_of
from pipeline.stacks.template import JSON, DeclaredResource, Evaluated, Reference, Unknown

_REMOVED_POLICY = {"Retain": "Retain", "RetainExceptOnCreate": "Retain"}
_REPLACED_POLICY = {"Retain": "ReplaceAndRetain"}


@dataclass(frozen=True)
class Before:
    """What a stack is before the change: its goal, its template with all values, and its resources."""

    goal: Goal
    evaluated: Evaluated | None
    resources: Collection[StackResource]


class Difference:
    """Compares a stack with a template.

    Values that only the change itself makes known are compared by their references: a property that depends on a
    resource that is replaced may change.
    """

    def __init__(
        self, before: Before, after: Evaluated, goal: Goal, provider: Callable[[str], ResourceProvider[Any]]
    ) -> None:
        self._before = before
        self._after = after
        self._goal = goal
        self._provider = provider
        self._current = current_resources(before.resources)
        self._replaced: set[str] = set()
        self._modified: set[str] = set()

    def changes(self) -> list[dict[str, Any]]:
        """Return the changes in the shape of DescribeChangeSet, in the order of their execution."""
        found = [change for name in self._after.order if (change := self._change(name)) is not None]
        removed = [name for name in self._current if name not in self._after.resources]
        return [{"Type": "Resource", "ResourceChange": c} for c in (*found, *map(self._removal, reversed(removed)))]

    def _change(self, name: str) -> dict[str, Any] | None:
        declared = self._after.resources[name]
        resource = self._current.get(name)
        if resource is None or resource.definition is None:
            return {
                "Action": "Add",
                "LogicalResourceId": name,
                "ResourceType": declared.type,
                "Scope": [],
                "Details": [],
            }
        details = self._details(declared, resource.definition)
        attributes = _changed_attributes(declared, resource.definition, tags=self._goal.tags != self._before.goal.tags)
        if declared.type == resource.definition.type and not details and not attributes:
            return None
        needs = {detail["Target"].get("RequiresRecreation", "Never") for detail in details}
        if declared.type != resource.definition.type or "Always" in needs:
            replacement = "True"
        else:
            replacement = "Conditional" if "Conditionally" in needs else "False"
        self._modified.add(name)
        if replacement != "False":
            self._replaced.add(name)
        change = {
            "Action": "Modify",
            "LogicalResourceId": name,
            "PhysicalResourceId": resource.physical_id,
            "ResourceType": declared.type,
            "Replacement": replacement,
            "Scope": [*(["Properties"] if details else []), *attributes],
            "Details": [*details, *(_attribute_detail(attribute) for attribute in attributes)],
        }
        if replacement == "True":
            change["PolicyAction"] = _REPLACED_POLICY.get(declared.update_replace_policy, "ReplaceAndDelete")
        return change

    def _removal(self, name: str) -> dict[str, Any]:
        definition = self._current[name].known
        return {
            "Action": "Remove",
            "LogicalResourceId": name,
            "PhysicalResourceId": self._current[name].physical_id,
            "ResourceType": definition.type,
            "PolicyAction": _REMOVED_POLICY.get(definition.deletion_policy, "Delete"),
            "Scope": [],
            "Details": [],
        }

    def _details(self, declared: DeclaredResource, found: Definition) -> list[dict[str, Any]]:
        name, provider = declared.name, self._provider(declared.type)
        unknown = self._after.unresolved(name, self._attribute)
        after = self._properties(provider, self._after.resolve(name, self._attribute), unknown, found.properties)
        references = self._after.references(name)
        # A new type has other properties, so none of the old ones can be compared.
        changed = changed_properties(found.properties, after) if declared.type == found.type else set()
        details = []
        for key in sorted(changed | unknown.keys()):
            needs = key in provider.replaces
            target: dict[str, Any] = {"Attribute": "Properties", "Name": key}
            secret = any(r.name in self._goal.no_echo for r in references.get(key, ()))
            target |= _values(found.properties.get(key), after.get(key), secret=secret, known=key not in unknown)
            if key in unknown:
                target["RequiresRecreation"] = "Conditionally" if needs else "Never"
                details += [_dynamic(target, reference) for reference in unknown[key]]
            else:
                target["RequiresRecreation"] = "Always" if needs else "Never"
                details.append(self._static(target, declared, key, references.get(key, ())))
        return details

    def _static(
        self, target: Mapping[str, Any], declared: DeclaredResource, key: str, references: tuple[Reference, ...]
    ) -> dict[str, Any]:
        """Return the detail of a property whose new value is known."""
        detail = {"Target": dict(target), "Evaluation": "Static", "ChangeSource": "DirectModification"}
        former = self._before.evaluated.resources.get(declared.name) if self._before.evaluated else None
        if former is None or former.properties.get(key) != declared.properties.get(key):
            return detail
        for reference in references:
            if reference.kind == "ParameterReference" and self._has_changed(reference.name):
                return {**detail, "ChangeSource": reference.kind, "CausingEntity": reference.entity}
        return detail

    def _has_changed(self, parameter: str) -> bool:
        return self._before.goal.parameters.get(parameter) != self._goal.parameters.get(parameter)

    def _properties(
        self,
        provider: ResourceProvider[Any],
        after: Mapping[str, JSON],
        unknown: Collection[str],
        found: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """Return properties as they would be stored. Those that are not known have their present values."""
        known = {key: value for key, value in after.items() if key not in unknown}
        present = {key: found[key] for key in unknown if key in found}
        try:
            return normalize(provider, {**known, **present})
        except ConfigError:
            # The provider refuses them when the change is made, and says why.
            return {**known, **present}

    def _attribute(self, name: str, attribute: str | None) -> JSON:
        if name in self._replaced or (attribute is not None and name in self._modified):
            raise Unknown
        return attribute_of(self._current.get(name), attribute)


def _changed_attributes(declared: DeclaredResource, found: Definition, *, tags: bool) -> list[str]:
    pairs = {
        "Metadata": declared.metadata != found.metadata,
        "DeletionPolicy": declared.deletion_policy != found.deletion_policy,
        "UpdateReplacePolicy": declared.update_replace_policy != found.update_replace_policy,
        "Tags": tags,
    }
    return [name for name, differs in pairs.items() if differs]


def _attribute_detail(attribute: str) -> dict[str, Any]:
    return {
        "Target": {"Attribute": attribute, "RequiresRecreation": "Never"},
        "Evaluation": "Static",
        "ChangeSource": "DirectModification",
    }


def _dynamic(target: Mapping[str, Any], reference: Reference) -> dict[str, Any]:
    return {
        "Target": dict(target),
        "Evaluation": "Dynamic",
        "ChangeSource": reference.kind,
        "CausingEntity": reference.entity,
    }


def _values(before: object, after: object, *, secret: bool, known: bool) -> dict[str, Any]:
    """Return the values of a property as text. A secret one is masked."""
    found: dict[str, Any] = {}
    if before is not None:
        found["BeforeValue"] = MASK if secret else _text(before)
    if after is not None or not known:
        found["AfterValue"] = MASK if secret else _text(after) if known else "{{changeSet:KNOWN_AFTER_APPLY}}"
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
