"""The resources of templates, as far as they are known without creating them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from pipeline.base.errors import ConfigError
from pipeline.stacks.codepipeline.notes import Notes
from pipeline.stacks.template import JSON, Template, TemplateError, pseudo_parameters
from pipeline.stacks.template.parameter_type import SSM_PREFIX

_ACCOUNT = "000000000000"
# Values of secret stores. The store is not asked.
_DYNAMIC = re.compile(r"\{\{resolve:[^}]*\}\}")
_PLACEHOLDER = re.compile(r"<([A-Za-z0-9]+)(?:\.[A-Za-z0-9.]+)?>")


@dataclass(frozen=True)
class Resource:
    """A resource with its properties. What only its creation would show is a placeholder, `<NAME>`."""

    name: str
    type: str
    properties: Mapping[str, JSON]

    def text(self, key: str, default: str = "") -> str:
        """Return a property as text. Lists and objects are the default."""
        return text_of(self.properties.get(key), default)


class Resources:
    """The resources of one or several templates. `parameters` are the names that all of them declare."""

    def __init__(self, resources: list[Resource], parameters: Collection[str]) -> None:
        self._resources = resources
        self.parameters = parameters

    def of_type(self, type_: str) -> list[Resource]:
        """Return all resources of a type."""
        return [resource for resource in self._resources if resource.type == type_]

    def referred(self, value: JSON, type_: str, name_key: str) -> Resource | None:
        """Return the resource that a value means: by a reference, or by the name in its property `name_key`."""
        text = text_of(value)
        for resource in self.of_type(type_):
            match = _PLACEHOLDER.fullmatch(text)
            if (match is not None and match[1] == resource.name) or (text and resource.text(name_key) == text):
                return resource
        return None


def text_of(value: JSON, default: str = "") -> str:
    """Return text, or a number or boolean as text. Lists and objects are the default."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return default if value is None or isinstance(value, list | dict) else str(value)


def objects(value: JSON) -> list[dict[str, JSON]]:
    """Return the objects in a list. Anything else is an empty list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def members(value: JSON) -> dict[str, JSON]:
    """Return an object. Anything else is an empty one."""
    return value if isinstance(value, dict) else {}


def texts(value: JSON) -> list[str]:
    """Return the texts in a list. Anything else is an empty list."""
    return [text_of(item) for item in value] if isinstance(value, list) else []


def read_resources(templates: Mapping[str, str], parameters: Mapping[str, str], region: str, notes: Notes) -> Resources:
    """Return the resources of templates by the names of their files.

    A parameter without a value becomes the first of its allowed values, or a placeholder. Raises `ConfigError` for a
    template with a mistake, and for a parameter that no template has.
    """
    found: list[Resource] = []
    declared: set[str] = set()
    for source, text in templates.items():
        template = Template.parse(text, source)
        names = [text_of(parameter["ParameterKey"]) for parameter in objects(template.summary()["Parameters"])]
        declared.update(names)
        own = {name: value for name, value in parameters.items() if name in names}
        try:
            found += _evaluated(_completed(template, own, notes), source, own, region, notes)
        except TemplateError as error:
            # The template that was evaluated is another text, so the position means nothing.
            raise ConfigError(f"{source}: {error.path}: {error.reason}") from error
    if unknown := sorted(set(parameters) - declared):
        raise ConfigError(f"no template has the parameter {', '.join(unknown)}", hint=f"there are {_listed(declared)}")
    return Resources(found, declared)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _completed(template: Template, given: Mapping[str, str], notes: Notes) -> str:
    """Return a template that can be evaluated: parameters have values, and there are no rules and outputs."""
    body = json.loads(_DYNAMIC.sub("<secret>", json.dumps(template.body)))
    for section in ("Rules", "Outputs"):
        body.pop(section, None)
    for name, parameter in body.get("Parameters", {}).items():
        from_store = parameter["Type"].startswith(SSM_PREFIX)
        if not from_store and (name in given or "Default" in parameter):
            continue
        if not from_store and (allowed := parameter.get("AllowedValues")):
            parameter["Default"] = allowed[0]
            notes.add(f"parameter {name} has no value: {text_of(allowed[0])} is assumed")
        else:
            kind = "CommaDelimitedList" if "List" in parameter["Type"] else "String"
            body["Parameters"][name] = {"Type": kind, "Default": f"<{name}>"}
    return json.dumps(body)


def _evaluated(text: str, source: str, parameters: Mapping[str, str], region: str, notes: Notes) -> Iterator[Resource]:
    stack = PurePath(source).name.partition(".")[0]
    pseudo = pseudo_parameters(
        account=_ACCOUNT,
        region=region,
        stack_name=stack,
        stack_id=f"arn:aws:cloudformation:{region}:{_ACCOUNT}:stack/{stack}",
    )
    evaluated = Template.parse(text, source).evaluate(parameters, pseudo, _AnyExport(), ["<zone>"] * 6)
    for name, resource in evaluated.resources.items():
        properties: dict[str, JSON] = {}
        try:
            properties = evaluated.resolve(name, _placeholder)
        except TemplateError as error:
            notes.add(f"{error.path}: the value is not known, so {name} is left out")
        yield Resource(name, resource.type, properties)


def _placeholder(name: str, attribute: str | None) -> JSON:
    return f"<{name}>" if attribute is None else f"<{name}.{attribute}>"


class _AnyExport(Mapping[str, str]):
    """Every export there may be, since other stacks are not known."""

    def __getitem__(self, name: str) -> str:
        return f"<{re.sub('[<>]', '', name)}>"

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
