"""The functions that only Rules have: Fn::Contains, Fn::EachMemberEquals, Fn::EachMemberIn, Fn::RefAll, Fn::ValueOf
and Fn::ValueOfAll."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.expression import Expression
from pipeline.stacks.template.functions.function import listed
from pipeline.stacks.template.scope import Existing, Scope
from pipeline.stacks.template.values import JSON, Path, Value, scalar_text

_MEMBERS = "Template error: every {} object requires two parameters, (1) a list of strings and (2) {}."
_SECOND = {
    "Fn::Contains": "a string",
    "Fn::EachMemberEquals": "a string",
    "Fn::EachMemberIn": "a list of strings",
}
_REF_ALL = "Template error: every Fn::RefAll object must have a parameter type, such as AWS::EC2::VPC::Id."
_VALUE_OF = "Template error: every {} object requires two parameters, (1) {} and (2) an attribute."


@dataclass(frozen=True)
class Membership(Expression):
    """A comparison of a list with a text or another list."""

    name: str
    members: Expression
    other: Expression

    def evaluate(self, scope: Scope) -> Value:
        members, other = _texts(self.members.evaluate(scope)), _texts(self.other.evaluate(scope))
        if members is None or other is None or (self.name != "Fn::EachMemberIn" and len(other) != 1):
            raise scope.error(_MEMBERS.format(self.name, _SECOND[self.name]), self.path)
        if self.name == "Fn::Contains":
            return other[0] in members
        return all(member in other for member in members)

    def parts(self) -> Iterable[Expression]:
        return (self.members, self.other)


@dataclass(frozen=True)
class RefAll(Expression):
    """All values of a parameter's type."""

    type: str

    def evaluate(self, scope: Scope) -> Value:
        return [*_all(self.type, _existing(scope, "Fn::RefAll", self.path), scope, self.path)]


@dataclass(frozen=True)
class ValueOf(Expression):
    """An attribute of what a parameter names. A list if the parameter is one."""

    parameter: str
    attribute: str

    def evaluate(self, scope: Scope) -> Value:
        existing = _existing(scope, "Fn::ValueOf", self.path)
        type_ = scope.parameter_types[self.parameter]
        value = scope.parameter(self.parameter)
        single = type_.removeprefix("List<").removesuffix(">")
        found: list[Value] = []
        for text in _texts(value) or ():
            try:
                found.append(existing.attribute(single, text, self.attribute))
            except KeyError:
                reason = f"Template error: {text} of parameter {self.parameter} has no attribute {self.attribute}"
                raise scope.error(reason, self.path) from None
        return found if isinstance(value, list) else found[0]


@dataclass(frozen=True)
class ValueOfAll(Expression):
    """An attribute of all values of a parameter's type."""

    type: str
    attribute: str

    def evaluate(self, scope: Scope) -> Value:
        existing = _existing(scope, "Fn::ValueOfAll", self.path)
        values = _all(self.type, existing, scope, self.path)
        try:
            return [existing.attribute(self.type, value, self.attribute) for value in values]
        except KeyError:
            reason = f"Template error: values of {self.type} have no attribute {self.attribute}"
            raise scope.error(reason, self.path) from None


def _existing(scope: Scope, name: str, path: Path) -> Existing:
    if scope.existing is None:
        raise scope.error(f"Template error: {name} is not supported here", path)
    return scope.existing


def _all(type_: str, existing: Existing, scope: Scope, path: Path) -> Iterable[str]:
    found = existing.all(type_)
    if found is None:
        raise scope.error(f"Template error: the values of {type_} are not known", path)
    return found


def _texts(value: Value) -> list[str] | None:
    """Return one or several texts as a list, or None if there is anything else."""
    texts = [scalar_text(item) for item in (value if isinstance(value, list) else [value])]
    return None if None in texts else [text for text in texts if text is not None]


def membership(name: str, compiler: Compiler, argument: JSON, path: Path) -> Expression:
    reason = _MEMBERS.format(name, _SECOND[name])
    members, other = listed(compiler, argument, path, range(2, 3), reason)
    if not isinstance(members, dict | list) or isinstance(other, list) != (
        name == "Fn::EachMemberIn" and not isinstance(other, dict)
    ):
        raise compiler.error(reason, path)
    return Membership(path, name, compiler.value(members, (*path, 0)), compiler.value(other, (*path, 1)))


def contains(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    return membership("Fn::Contains", compiler, argument, path)


def each_member_equals(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    return membership("Fn::EachMemberEquals", compiler, argument, path)


def each_member_in(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    return membership("Fn::EachMemberIn", compiler, argument, path)


def ref_all(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    if not isinstance(argument, str):
        raise compiler.error(_REF_ALL, path)
    return RefAll(path, argument)


def value_of(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    reason = _VALUE_OF.format("Fn::ValueOf", "the name of a parameter")
    name, attribute = listed(compiler, argument, path, range(2, 3), reason)
    if not isinstance(name, str) or not isinstance(attribute, str):
        raise compiler.error(reason, path)
    if name not in compiler.parameters:
        compiler.unresolved.append((name, path))
    return ValueOf(path, name, attribute)


def value_of_all(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    reason = _VALUE_OF.format("Fn::ValueOfAll", "a parameter type")
    type_, attribute = listed(compiler, argument, path, range(2, 3), reason)
    if not isinstance(type_, str) or not isinstance(attribute, str):
        raise compiler.error(reason, path)
    return ValueOfAll(path, type_, attribute)


COMPILERS = {
    "Fn::Contains": contains,
    "Fn::EachMemberEquals": each_member_equals,
    "Fn::EachMemberIn": each_member_in,
    "Fn::RefAll": ref_all,
    "Fn::ValueOf": value_of,
    "Fn::ValueOfAll": value_of_all,
}
