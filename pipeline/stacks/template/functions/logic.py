"""Fn::And, Fn::Or, Fn::Not, Fn::Equals and Condition, for Conditions and Rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.expression import Expression
from pipeline.stacks.template.functions.function import listed
from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.values import JSON, Path, Value, scalar_text

_EQUALS = "Template error: every Fn::Equals object requires a list of 2 string parameters."
_NOT = "Template error: every Fn::Not object requires a list with exactly 1 boolean parameter."
_SEVERAL = "Template error: every {} object requires a list of at least 2 and at most 10 boolean parameters."
_CONDITION = "Template error: every Condition member must be a string."
_BOOLEAN = frozenset(
    {
        "Condition",
        "Fn::And",
        "Fn::Contains",
        "Fn::EachMemberEquals",
        "Fn::EachMemberIn",
        "Fn::Equals",
        "Fn::Not",
        "Fn::Or",
    }
)


@dataclass(frozen=True)
class Logic(Expression):
    """And, or, not. All operands are evaluated: a mistake in one must not depend on the others."""

    name: str
    operands: tuple[Expression, ...]

    def evaluate(self, scope: Scope) -> Value:
        values = [operand.evaluate(scope) is True for operand in self.operands]
        if self.name == "Fn::Not":
            return not values[0]
        return all(values) if self.name == "Fn::And" else any(values)

    def parts(self) -> Iterable[Expression]:
        return self.operands


@dataclass(frozen=True)
class Equals(Expression):
    """Whether two values are the same text. 1 equals "1", and true equals "true"."""

    left: Expression
    right: Expression

    def evaluate(self, scope: Scope) -> Value:
        texts = [scalar_text(side.evaluate(scope)) for side in self.parts()]
        if None in texts:
            raise scope.error(_EQUALS, self.path)
        return texts[0] == texts[1]

    def parts(self) -> Iterable[Expression]:
        return (self.left, self.right)


@dataclass(frozen=True)
class Condition(Expression):
    """The value of a declared condition."""

    name: str

    def evaluate(self, scope: Scope) -> Value:
        return scope.conditions[self.name]


def boolean(compiler: Compiler, node: JSON, path: Path, reason: str) -> Expression:
    """Return the expression for a value that has to be a condition."""
    if not isinstance(node, dict) or compiler.function(node, path) not in _BOOLEAN:
        raise compiler.error(reason, path)
    return compiler.value(node, path)


def several(name: str, compiler: Compiler, argument: JSON, path: Path) -> Expression:
    reason = _SEVERAL.format(name)
    items = listed(compiler, argument, path, range(2, 11), reason)
    return Logic(path, name, tuple(boolean(compiler, item, (*path, index), reason) for index, item in enumerate(items)))


def both(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    return several("Fn::And", compiler, argument, path)


def either(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    return several("Fn::Or", compiler, argument, path)


def negate(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    (item,) = listed(compiler, argument, path, range(1, 2), _NOT)
    return Logic(path, "Fn::Not", (boolean(compiler, item, (*path, 0), _NOT),))


def equals(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    left, right = listed(compiler, argument, path, range(2, 3), _EQUALS)
    if isinstance(left, list) or isinstance(right, list):
        raise compiler.error(_EQUALS, path)
    return Equals(path, compiler.value(left, (*path, 0)), compiler.value(right, (*path, 1)))


def condition(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    if not isinstance(argument, str):
        raise compiler.error(_CONDITION, path)
    if argument not in compiler.conditions:
        reason = (
            f"Template format error: Unresolved condition dependency {argument} in the Conditions block of the template"
        )
        raise compiler.error(reason, path)
    return Condition(path, argument)


COMPILERS = {
    "Fn::And": both,
    "Fn::Or": either,
    "Fn::Not": negate,
    "Fn::Equals": equals,
    "Condition": condition,
}
