"""Values of a template that may contain functions, checked and ready to be evaluated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.values import Absent, Path, Value


@dataclass(frozen=True)
class Expression(ABC):
    """A value at a place of the template. Subclasses are functions, and JSON with functions in it."""

    path: Path

    @abstractmethod
    def evaluate(self, scope: Scope) -> Value:
        """Return the value. Raises `TemplateError` if it has none, such as by Fn::Select past the end of a list."""

    def parts(self) -> Iterable[Expression]:
        """Return the expressions in this one."""
        return ()

    def walk(self) -> Iterator[Expression]:
        """Yield this expression and all expressions in it."""
        yield self
        for part in self.parts():
            yield from part.walk()


@dataclass(frozen=True)
class Literal(Expression):
    """Text, a number or a boolean."""

    value: bool | int | float | str

    def evaluate(self, scope: Scope) -> Value:  # noqa: ARG002
        return self.value


@dataclass(frozen=True)
class Items(Expression):
    """A list. Items without a value are left out."""

    items: tuple[Expression, ...]

    def evaluate(self, scope: Scope) -> Value:
        values = (item.evaluate(scope) for item in self.items)
        return [value for value in values if value is not Absent.NO_VALUE]

    def parts(self) -> Iterable[Expression]:
        return self.items


@dataclass(frozen=True)
class Members(Expression):
    """An object. Keys without a value are left out."""

    members: tuple[tuple[str, Expression], ...]

    def evaluate(self, scope: Scope) -> Value:
        values = ((key, member.evaluate(scope)) for key, member in self.members)
        return {key: value for key, value in values if value is not Absent.NO_VALUE}

    def parts(self) -> Iterable[Expression]:
        return (member for _, member in self.members)
