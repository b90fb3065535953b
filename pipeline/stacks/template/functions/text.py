"""Fn::Base64, Fn::Join, Fn::Split and Fn::ToJsonString."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.expression import Expression
from pipeline.stacks.template.functions.function import listed
from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.values import JSON, Absent, Path, Value, has_unknown, scalar_text

_BASE64 = "Template error: every Fn::Base64 object must have a String-typed value."
_JOIN = (
    "Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings "
    "to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined."
)
_SPLIT = (
    "Template error: every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string to be "
    "split or a function that returns a string to be split."
)
_TO_JSON = "Template error: every Fn::ToJsonString object must have an object or a list."


@dataclass(frozen=True)
class Base64(Expression):
    """Text in Base64, of its UTF-8."""

    text: Expression

    def evaluate(self, scope: Scope) -> Value:
        text = _text(self.text, scope, _BASE64, self.path)
        return base64.b64encode(text.encode()).decode() if isinstance(text, str) else text

    def parts(self) -> Iterable[Expression]:
        return (self.text,)


@dataclass(frozen=True)
class Join(Expression):
    """A list as text."""

    delimiter: str
    items: Expression

    def evaluate(self, scope: Scope) -> Value:
        items = self.items.evaluate(scope)
        if has_unknown(items):
            return Absent.UNKNOWN
        if not isinstance(items, list):
            raise scope.error(_JOIN, self.path)
        texts = [scalar_text(item) for item in items]
        if None in texts:
            raise scope.error(_JOIN, self.path)
        return self.delimiter.join(text for text in texts if text is not None)

    def parts(self) -> Iterable[Expression]:
        return (self.items,)


@dataclass(frozen=True)
class Split(Expression):
    """Text as a list."""

    delimiter: str
    text: Expression

    def evaluate(self, scope: Scope) -> Value:
        text = _text(self.text, scope, _SPLIT, self.path)
        return [*text.split(self.delimiter)] if isinstance(text, str) else text

    def parts(self) -> Iterable[Expression]:
        return (self.text,)


@dataclass(frozen=True)
class ToJsonString(Expression):
    """A value as JSON text."""

    value: Expression

    def evaluate(self, scope: Scope) -> Value:
        value = self.value.evaluate(scope)
        if has_unknown(value):
            return Absent.UNKNOWN
        if not isinstance(value, dict | list):
            raise scope.error(_TO_JSON, self.path)
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    def parts(self) -> Iterable[Expression]:
        return (self.value,)


def to_base64(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    if isinstance(argument, list) or (isinstance(argument, dict) and compiler.function(argument, path) is None):
        raise compiler.error(_BASE64, path)
    return Base64(path, compiler.value(argument, path))


def join(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    delimiter, items = listed(compiler, argument, path, range(2, 3), _JOIN)
    if not isinstance(delimiter, str) or not isinstance(items, dict | list):
        raise compiler.error(_JOIN, path)
    if isinstance(items, dict) and compiler.function(items, (*path, 1)) is None:
        raise compiler.error(_JOIN, path)
    return Join(path, delimiter, compiler.value(items, (*path, 1)))


def split(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    delimiter, text = listed(compiler, argument, path, range(2, 3), _SPLIT)
    if not isinstance(delimiter, str) or not delimiter or isinstance(text, list):
        raise compiler.error(_SPLIT, path)
    return Split(path, delimiter, compiler.value(text, (*path, 1)))


def to_json_string(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    if not isinstance(argument, dict | list):
        raise compiler.error(_TO_JSON, path)
    return ToJsonString(path, compiler.value(argument, path))


COMPILERS = {"Fn::Base64": to_base64, "Fn::Join": join, "Fn::Split": split, "Fn::ToJsonString": to_json_string}


def _text(expression: Expression, scope: Scope, mistake: str, path: Path) -> str | Absent:
    """Return the text of an expression, or that it is unknown. Raises the mistake for any other value."""
    value = expression.evaluate(scope)
    if value is Absent.UNKNOWN:
        return value
    text = scalar_text(value)
    if text is None:
        raise scope.error(mistake, path)
    return text
