"""The section Rules: assertions about the values of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.expression import Expression
from pipeline.stacks.template.functions.logic import boolean
from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.section import check_keys, check_name
from pipeline.stacks.template.values import JSON, Path

_SHAPE = "Template format error: Every {} member of Rules must be a boolean operation on parameters"


@dataclass(frozen=True)
class Assertion:
    """What has to hold, and what is said if it does not."""

    expression: Expression
    description: str


@dataclass(frozen=True)
class Rule:
    """Assertions that are checked if the condition holds."""

    name: str
    condition: Expression | None
    assertions: tuple[Assertion, ...]

    def check(self, scope: Scope) -> None:
        """Raise `TemplateError` for an assertion that does not hold."""
        if self.condition is not None and self.condition.evaluate(scope) is not True:
            return
        for assertion in self.assertions:
            if assertion.expression.evaluate(scope) is not True:
                said = f": {assertion.description}" if assertion.description else ""
                raise scope.error(f"Rule {self.name} failed{said}", assertion.expression.path[:-1])


def compiled_rules(compiler: Compiler, members: Mapping[str, JSON]) -> tuple[Rule, ...]:
    """Return the rules of a template. Raises `TemplateError`."""
    rules = tuple(_rule(compiler, name, node) for name, node in members.items())
    if compiler.unresolved:
        names = ", ".join(dict.fromkeys(name for name, _ in compiler.unresolved))
        reason = f"Unresolved dependencies [{names}]. Cannot reference resources in the Rules block of the template"
        raise compiler.error(f"Template format error: {reason}", compiler.unresolved[0][1])
    return rules


def _rule(compiler: Compiler, name: str, node: JSON) -> Rule:
    path: Path = ("Rules", name)
    check_name(compiler.document, name, path, "Rules name")
    if not isinstance(node, dict):
        raise compiler.error("Template format error: Any Rules member must be an object.", path)
    check_keys(compiler.document, node, path, ("RuleCondition", "Assertions"), "rule")
    given = node.get("Assertions")
    if not isinstance(given, list) or not given:
        raise compiler.error("Template format error: Every Rules object must contain an Assertions member.", path)
    condition = None
    if "RuleCondition" in node:
        reason = _SHAPE.format("RuleCondition")
        condition = boolean(compiler, node["RuleCondition"], (*path, "RuleCondition"), reason)
    assertions = tuple(_assertion(compiler, item, (*path, "Assertions", index)) for index, item in enumerate(given))
    return Rule(name, condition, assertions)


def _assertion(compiler: Compiler, node: JSON, path: Path) -> Assertion:
    if not isinstance(node, dict) or "Assert" not in node:
        raise compiler.error("Template format error: Every Assertions member must contain an Assert member.", path)
    # CloudFormation ignores other keys, and published templates have misspelt ones.
    description = node.get("AssertDescription", "")
    if not isinstance(description, str):
        reason = "Template format error: Every AssertDescription member must be a string."
        raise compiler.error(reason, (*path, "AssertDescription"))
    return Assertion(boolean(compiler, node["Assert"], (*path, "Assert"), _SHAPE.format("Assert")), description)
