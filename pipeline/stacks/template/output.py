"""The section Outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.declared import Output
from pipeline.stacks.template.expression import Expression
from pipeline.stacks.template.functions.lookup import depends_on_resources
from pipeline.stacks.template.reference import KNOWN_AFTER_APPLY
from pipeline.stacks.template.resource import named_condition, raise_unresolved
from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.section import check_description, check_keys, check_name
from pipeline.stacks.template.values import JSON, Absent, Path, scalar_text

_EXPORT = (
    "Template format error: Output {} is malformed. The Name field of every Export member must be specified and "
    "consist only of alphanumeric characters, colons, or hyphens."
)
_EXPORT_DEPENDS = "The Name field of Export must not depend on any resources, imported values, or Fn::GetAZs."
_VALUE = (
    "Template format error: Output {} is malformed. The Value field of every Outputs member must evaluate to a String."
)


@dataclass(frozen=True)
class DeclaredOutput:
    """An output of a template, checked, before the values of resources are known."""

    name: str
    description: str
    condition: str | None
    value: Expression
    export: Expression | None

    def export_name(self, scope: Scope) -> str | None:
        """Return the name under which the value is exported. Raises `TemplateError` if it is malformed."""
        if self.export is None:
            return None
        name = scalar_text(self.export.evaluate(scope))
        if name is None or not re.fullmatch("[A-Za-z0-9:-]+", name):
            raise scope.error(_EXPORT.format(self.name), self.export.path)
        return name

    def evaluate(self, scope: Scope) -> Output:
        """Return the output. Raises `TemplateError` if its value is not text, a number or a boolean."""
        value = self.value.evaluate(scope)
        text = KNOWN_AFTER_APPLY if value is Absent.UNKNOWN else scalar_text(value)
        if text is None:
            raise scope.error(_VALUE.format(self.name), self.value.path)
        return Output(self.name, text, self.description, self.export_name(scope))


def compiled_outputs(compiler: Compiler, members: Mapping[str, JSON]) -> dict[str, DeclaredOutput]:
    """Return the outputs of a template. Raises `TemplateError`."""
    outputs = {name: _output(compiler, name, node) for name, node in members.items()}
    raise_unresolved(compiler)
    return outputs


def _output(compiler: Compiler, name: str, node: JSON) -> DeclaredOutput:
    path: Path = ("Outputs", name)
    check_name(compiler.document, name, path, "Outputs name")
    if not isinstance(node, dict) or "Value" not in node:
        raise compiler.error("Template format error: Every Outputs member must contain a Value object", path)
    check_keys(compiler.document, node, path, ("Condition", "Description", "Export", "Value"), "output")
    description = check_description(compiler.document, node.get("Description", ""), (*path, "Description"))
    value = compiler.value(node["Value"], (*path, "Value"))
    export = _export(compiler, name, node["Export"], (*path, "Export")) if "Export" in node else None
    return DeclaredOutput(name, description, named_condition(compiler, node, path), value, export)


def _export(compiler: Compiler, name: str, node: JSON, path: Path) -> Expression:
    if not isinstance(node, dict) or set(node) != {"Name"}:
        raise compiler.error(_EXPORT.format(name), path)
    expression = compiler.value(node["Name"], (*path, "Name"))
    if depends_on_resources(expression):
        raise compiler.error(_EXPORT_DEPENDS, (*path, "Name"))
    return expression
