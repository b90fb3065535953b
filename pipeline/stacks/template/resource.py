"""A resource of a template, checked, before its conditions are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.document import Document
from pipeline.stacks.template.expression import Expression, Literal, Members
from pipeline.stacks.template.functions.choice import If
from pipeline.stacks.template.functions.reference import ResourceRef
from pipeline.stacks.template.section import check_keys, check_name
from pipeline.stacks.template.values import JSON, Path

_KEYS = frozenset(
    {
        "Condition",
        "CreationPolicy",
        "DeletionPolicy",
        "DependsOn",
        "Metadata",
        "Properties",
        "Type",
        "UpdatePolicy",
        "UpdateReplacePolicy",
        "Version",
    }
)
POLICIES = {
    "DeletionPolicy": ("Delete", "Retain", "RetainExceptOnCreate", "Snapshot"),
    "UpdateReplacePolicy": ("Delete", "Retain", "Snapshot"),
}


@dataclass(frozen=True)
class Resource:
    """A declared resource. `properties` has an expression per property, `others` those of Metadata and the policies."""

    name: str
    type: str
    condition: str | None
    depends_on: tuple[str, ...]
    node: Mapping[str, JSON]
    properties: Mapping[str, Expression]
    others: Mapping[str, Expression]

    @property
    def path(self) -> Path:
        """The path of the declaration."""
        return ("Resources", self.name)

    def certain_dependencies(self) -> tuple[str, ...]:
        """Return the resources that this one depends on whatever the conditions are."""
        found = dict.fromkeys(self.depends_on)
        for expression in (*self.properties.values(), *self.others.values()):
            found |= dict.fromkeys(_references(expression))
        return tuple(found)


def _references(expression: Expression) -> Iterator[str]:
    if isinstance(expression, ResourceRef):
        yield expression.name
    if not isinstance(expression, If):
        for part in expression.parts():
            yield from _references(part)


def compiled_resources(compiler: Compiler, members: Mapping[str, JSON]) -> dict[str, Resource]:
    """Return the resources of a template. Raises `TemplateError`, for all unknown names together."""
    resources = {name: _resource(compiler, name, node) for name, node in members.items()}
    raise_unresolved(compiler)
    return resources


def raise_unresolved(compiler: Compiler) -> None:
    """Raise `TemplateError` if a name was not found."""
    if compiler.unresolved:
        names = ", ".join(dict.fromkeys(name for name, _ in compiler.unresolved))
        reason = f"Unresolved resource dependencies [{names}] in the {compiler.block} block of the template"
        raise compiler.error(f"Template format error: {reason}", compiler.unresolved[0][1])


def _resource(compiler: Compiler, name: str, node: JSON) -> Resource:
    path: Path = ("Resources", name)
    if name.startswith("Fn::"):
        compiler.function({name: node}, ("Resources",))
    check_name(compiler.document, name, path, "Resource name")
    if not isinstance(node, dict):
        raise compiler.error("Template format error: Any Resources member must be an object.", path)
    check_keys(compiler.document, node, path, _KEYS, "resource")
    type_ = node.get("Type")
    if type_ is None:
        reason = f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member."
        raise compiler.error(reason, path)
    if not isinstance(type_, str):
        reason = f"Template format error: [/Resources/{name}/Type] Every Type member must be a string."
        raise compiler.error(reason, (*path, "Type"))
    others = {
        key: compiler.value(node[key], (*path, key))
        for key in ("Metadata", "CreationPolicy", "UpdatePolicy")
        if key in node
    }
    return Resource(
        name=name,
        type=type_,
        condition=named_condition(compiler, node, path),
        depends_on=_depends_on(compiler, node, path),
        node=node,
        properties=_properties(compiler, node, path),
        others=others | {key: _policy(compiler, name, node, key) for key in POLICIES if key in node},
    )


def named_condition(compiler: Compiler, node: Mapping[str, JSON], path: Path) -> str | None:
    """Return the condition of a resource or output. Raises `TemplateError` if it is not declared."""
    if "Condition" not in node:
        return None
    name = node["Condition"]
    here = (*path, "Condition")
    if not isinstance(name, str):
        raise compiler.error("Template format error: Every Condition member must be a string.", here)
    if name not in compiler.conditions:
        reason = f"Unresolved condition dependency {name} in the {compiler.block} block of the template"
        raise compiler.error(f"Template format error: {reason}", here)
    return name


def _depends_on(compiler: Compiler, node: Mapping[str, JSON], path: Path) -> tuple[str, ...]:
    given = node.get("DependsOn", [])
    here = (*path, "DependsOn")
    names = given if isinstance(given, list) else [given]
    if not all(isinstance(name, str) for name in names):
        reason = (
            "Every DependsOn value must be a string."
            if given is names
            else "DependsOn must be a string or list of strings."
        )
        raise compiler.error(f"Template format error: {reason}", here)
    texts = tuple(dict.fromkeys(map(str, names)))
    compiler.unresolved.extend((name, here) for name in texts if name not in compiler.resources)
    return texts


def _properties(compiler: Compiler, node: Mapping[str, JSON], path: Path) -> dict[str, Expression]:
    here = (*path, "Properties")
    given = node.get("Properties", {})
    if not isinstance(given, dict):
        raise compiler.error(f"Template format error: [/Resources/{path[1]}/Properties] must be an object", here)
    # Not a mapping of properties, but a function that returns one.
    if (name := compiler.function(given, here)) is not None:
        raise compiler.error(
            f"Template error: {name} cannot be used for all Properties", here, "use it for each property"
        )
    compiled = compiler.value(given, here)
    assert isinstance(compiled, Members)
    return dict(compiled.members)


def _policy(compiler: Compiler, name: str, node: Mapping[str, JSON], key: str) -> Expression:
    path: Path = ("Resources", name, key)
    given = node[key]
    if isinstance(given, dict) and compiler.extensions:
        return compiler.value(given, path)
    if not isinstance(given, str):
        raise compiler.error(f"Template format error: Every {key} member must be a string.", path)
    check_policy(compiler.document, name, given, key)
    return Literal(path, given)


def check_policy(document: Document, name: str, policy: str, key: str) -> None:
    """Raise `TemplateError` for an unknown policy."""
    if policy not in POLICIES[key]:
        reason = f"Template format error: Unrecognized {key} {policy} for resource {name}"
        raise document.error(reason, ("Resources", name, key), f"allowed: {', '.join(POLICIES[key])}")
