"""The section Conditions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.dependencies import cycle_in, ordered
from pipeline.stacks.template.expression import Expression
from pipeline.stacks.template.functions.logic import Condition, boolean
from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.values import JSON, Path

_NAME = re.compile("[A-Za-z0-9_&]{1,255}")
_SHAPE = "Template format error: Conditions can only be boolean operations on parameters and other conditions"


def compiled_conditions(compiler: Compiler, members: Mapping[str, JSON]) -> dict[str, Expression]:
    """Return the expression of each condition, each after those that it uses. Raises `TemplateError`."""
    compiled: dict[str, Expression] = {}
    for name, node in members.items():
        path: Path = ("Conditions", name)
        if not _NAME.fullmatch(name):
            raise compiler.error(f"Template format error: Conditions name '{name}' is non alphanumeric.", path)
        compiled[name] = boolean(compiler, node, path, _SHAPE)
    if compiler.unresolved:
        names = ", ".join(dict.fromkeys(name for name, _ in compiler.unresolved))
        reason = (
            f"Unresolved dependencies [{names}]. Cannot reference resources in the Conditions block of the template"
        )
        raise compiler.error(f"Template format error: {reason}", compiler.unresolved[0][1])
    uses = {name: tuple(_uses(expression)) for name, expression in compiled.items()}
    if cycle := cycle_in(uses):
        reason = f"Template format error: Circular dependency between conditions: [{', '.join(cycle)}]"
        raise compiler.error(reason, ("Conditions", cycle[0]))
    return {name: compiled[name] for name in ordered(uses)}


def _uses(expression: Expression) -> Iterator[str]:
    return (part.name for part in expression.walk() if isinstance(part, Condition))


def evaluate_conditions(compiled: Mapping[str, Expression], scope: Scope, values: dict[str, bool]) -> None:
    """Add the value of each condition to `values`, which are the conditions of `scope`."""
    for name, expression in compiled.items():
        values[name] = expression.evaluate(scope) is True
