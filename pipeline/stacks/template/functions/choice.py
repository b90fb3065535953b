"""Fn::If, Fn::Select and Fn::Length."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.expression import Expression
from pipeline.stacks.template.functions.function import listed
from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.values import JSON, Absent, Path, Value, scalar_text

_IF = "Template error: Fn::If requires a list argument with three elements"
_IF_CONDITION = "Template error: Fn::If requires a list argument with the first element being a condition"
_SELECT = "Template error: Fn::Select requires a list argument with two elements: an integer index and a list"
_LENGTH = "Template error: every Fn::Length object requires a list"


@dataclass(frozen=True)
class If(Expression):
    """One of two values. The other one is not evaluated, so it causes no dependency."""

    condition: str
    then: Expression
    otherwise: Expression

    def evaluate(self, scope: Scope) -> Value:
        return (self.then if scope.conditions[self.condition] else self.otherwise).evaluate(scope)

    def parts(self) -> Iterable[Expression]:
        return (self.then, self.otherwise)


@dataclass(frozen=True)
class Select(Expression):
    """An item of a list."""

    index: Expression
    items: Expression

    def evaluate(self, scope: Scope) -> Value:
        text = scalar_text(index := self.index.evaluate(scope))
        items = self.items.evaluate(scope)
        if Absent.UNKNOWN in (index, items):
            return Absent.UNKNOWN
        if text is None or not re.fullmatch("[0-9]{1,9}", text) or not isinstance(items, list):
            raise scope.error(_SELECT, self.path)
        if int(text) >= len(items):
            reason = f"Template error: Fn::Select cannot select nonexistent value at index {int(text)}"
            raise scope.error(reason, self.path)
        return items[int(text)]

    def parts(self) -> Iterable[Expression]:
        return (self.index, self.items)


@dataclass(frozen=True)
class Length(Expression):
    """The number of items of a list."""

    items: Expression

    def evaluate(self, scope: Scope) -> Value:
        items = self.items.evaluate(scope)
        if items is Absent.UNKNOWN:
            return items
        if not isinstance(items, list):
            raise scope.error(_LENGTH, self.path)
        return len(items)

    def parts(self) -> Iterable[Expression]:
        return (self.items,)


def choose(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    condition, then, otherwise = listed(compiler, argument, path, range(3, 4), _IF)
    if not isinstance(condition, str):
        raise compiler.error(_IF_CONDITION, path)
    if condition not in compiler.conditions:
        raise compiler.error(f"Template error: unresolved condition dependency {condition} in Fn::If", (*path, 0))
    return If(path, condition, compiler.value(then, (*path, 1)), compiler.value(otherwise, (*path, 2)))


def select(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    index, items = listed(compiler, argument, path, range(2, 3), _SELECT)
    if isinstance(index, list) or not isinstance(items, dict | list):
        raise compiler.error(_SELECT, path)
    if not isinstance(index, dict) and not re.fullmatch("[0-9]{1,9}", scalar_text(index) or ""):
        raise compiler.error(_SELECT, path)
    return Select(path, compiler.value(index, (*path, 0)), compiler.value(items, (*path, 1)))


def length(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    if not isinstance(argument, dict | list):
        raise compiler.error(_LENGTH, path)
    return Length(path, compiler.value(argument, path))


COMPILERS = {"Fn::If": choose, "Fn::Select": select, "Fn::Length": length}
