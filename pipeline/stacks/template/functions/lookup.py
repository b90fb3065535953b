"""Fn::FindInMap, Fn::GetAZs and Fn::ImportValue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.expression import Expression, Literal
from pipeline.stacks.template.functions.reference import ResourceRef
from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.values import JSON, Path, Value, scalar_text

_FIND = (
    "Template error: every Fn::FindInMap object requires three parameters, the map name, map key and the attribute for "
    "return value"
)
_IMPORT = (
    "Template error: the attribute in Fn::ImportValue must not depend on any resources, imported values, or Fn::GetAZs"
)
_ZONES = "Template error: every Fn::GetAZs object must have a String-typed value."
_KEY_FUNCTIONS = ("Ref", "Fn::FindInMap")
_EXTENDED_KEY_FUNCTIONS = (
    *_KEY_FUNCTIONS,
    "Fn::If",
    "Fn::Join",
    "Fn::Length",
    "Fn::Select",
    "Fn::Split",
    "Fn::Sub",
    "Fn::ToJsonString",
)


@dataclass(frozen=True)
class FindInMap(Expression):
    """A value of the section Mappings, or the default."""

    keys: tuple[Expression, Expression, Expression]
    default: Expression | None

    def evaluate(self, scope: Scope) -> Value:
        texts = [scalar_text(key.evaluate(scope)) for key in self.keys]
        name, first, second = texts
        if name is None or first is None or second is None:
            raise scope.error(_FIND, self.path)
        mapping = scope.mappings.get(name)
        entry = mapping.get(first) if isinstance(mapping, dict) else None
        if isinstance(entry, dict) and second in entry:
            return entry[second]  # type: ignore[return-value]
        if self.default is not None:
            return self.default.evaluate(scope)
        if mapping is None:
            raise scope.error(missing_mapping(name), self.path)
        raise scope.error(f"Template error: Unable to get mapping for {name}::{first}::{second}", self.path)

    def parts(self) -> Iterable[Expression]:
        return self.keys if self.default is None else (*self.keys, self.default)


@dataclass(frozen=True)
class GetAZs(Expression):
    """The zones, whatever the region: the machine is in all of them."""

    region: Expression

    def evaluate(self, scope: Scope) -> Value:
        if scalar_text(self.region.evaluate(scope)) is None:
            raise scope.error(_ZONES, self.path)
        return [*scope.zones]

    def parts(self) -> Iterable[Expression]:
        return (self.region,)


@dataclass(frozen=True)
class ImportValue(Expression):
    """The value that another stack exports."""

    name: Expression

    def evaluate(self, scope: Scope) -> Value:
        name = scalar_text(self.name.evaluate(scope))
        if name is None:
            raise scope.error("Template error: every Fn::ImportValue object must have a String-typed value.", self.path)
        scope.imports.add(name)
        if name not in scope.exports:
            raise scope.error(f"No export named {name} found.", self.path)
        return scope.exports[name]

    def parts(self) -> Iterable[Expression]:
        return (self.name,)


def missing_mapping(name: str) -> str:
    """Return the message for a mapping that is not declared."""
    return f"Template error: Mapping named '{name}' is not present in the 'Mappings' section of template."


def find_in_map(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    items = argument if isinstance(argument, list) else []
    if len(items) not in (3, 4) or any(isinstance(item, list) for item in items):
        raise compiler.error(_FIND, path)
    if len(items) == 4 and not compiler.extensions:
        raise compiler.error(_FIND, path, "a default needs `Transform: AWS::LanguageExtensions`")
    keys = compiler.limited(*(_EXTENDED_KEY_FUNCTIONS if compiler.extensions else _KEY_FUNCTIONS))
    name, first, second = (keys.value(item, (*path, index)) for index, item in enumerate(items[:3]))
    if isinstance(name, Literal) and len(items) == 3 and str(name.value) not in compiler.mappings:
        raise compiler.error(missing_mapping(str(name.value)), (*path, 0))
    default = None
    if len(items) == 4:
        given = items[3]
        if not isinstance(given, dict) or set(given) != {"DefaultValue"}:
            raise compiler.error(_FIND, (*path, 3), "write the default as {DefaultValue: …}")
        default = compiler.value(given["DefaultValue"], (*path, 3, "DefaultValue"))
    return FindInMap(path, (name, first, second), default)


def get_azs(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    if argument is None:
        argument = ""
    if not isinstance(argument, str) and not (isinstance(argument, dict) and set(argument) == {"Ref"}):
        raise compiler.error(_ZONES, path)
    return GetAZs(path, compiler.value(argument, path))


def import_value(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    if isinstance(argument, list):
        raise compiler.error("Template error: every Fn::ImportValue object must have a String-typed value.", path)
    name = compiler.value(argument, path)
    if depends_on_resources(name):
        raise compiler.error(_IMPORT, path)
    return ImportValue(path, name)


def depends_on_resources(expression: Expression) -> bool:
    """Return whether a name depends on what is not known before resources exist."""
    return any(isinstance(part, ResourceRef | ImportValue | GetAZs) for part in expression.walk())


COMPILERS = {"Fn::FindInMap": find_in_map, "Fn::GetAZs": get_azs, "Fn::ImportValue": import_value}
