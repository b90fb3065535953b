"""Fn::Sub."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.expression import Expression, Literal
from pipeline.stacks.template.functions.reference import ResourceRef, reference
from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.values import JSON, Absent, Path, Value, scalar_text

_SHAPE = (
    "Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string as "
    "first argument, and an optional second argument to specify a mapping of values to replace in the string"
)
_NAME = (
    "Template error: variable names in Fn::Sub syntax must contain only alphanumeric characters, underscores, periods, "
    "and colons"
)
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_VALID = re.compile(r"[A-Za-z0-9_.:]+")


@dataclass(frozen=True)
class Sub(Expression):
    """Text between and the values of variables."""

    pieces: tuple[Expression, ...]

    def evaluate(self, scope: Scope) -> Value:
        texts: list[str] = []
        unknown = False
        for piece in self.pieces:
            value = piece.evaluate(scope)
            if value is Absent.UNKNOWN:
                unknown = True
            elif (text := scalar_text(value)) is not None:
                texts.append(text)
            else:
                raise scope.error("Template error: Fn::Sub expression does not resolve to a string", piece.path)
        return Absent.UNKNOWN if unknown else "".join(texts)

    def parts(self) -> Iterable[Expression]:
        return self.pieces


def sub(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    text, values, text_path = _arguments(compiler, argument, path)
    pieces: list[Expression] = []
    end = 0
    for match in _VARIABLE.finditer(text):
        pieces.append(Literal(text_path, text[end : match.start()]))
        end = match.end()
        name = match[1].strip()
        if name.startswith("!"):
            pieces.append(Literal(text_path, f"${{{match[1][match[1].index('!') + 1 :]}}}"))
        elif not _VALID.fullmatch(name):
            raise compiler.error(_NAME, text_path, f"{match[0]}: write ${{!NAME}} for a literal ${{NAME}}")
        else:
            pieces.append(values[name] if name in values else _variable(compiler, name, text_path))
    pieces.append(Literal(text_path, text[end:]))
    return Sub(path, tuple(pieces))


def _arguments(compiler: Compiler, argument: JSON, path: Path) -> tuple[str, dict[str, Expression], Path]:
    if isinstance(argument, str):
        return argument, {}, path
    if not isinstance(argument, list) or len(argument) != 2:
        raise compiler.error(_SHAPE, path)
    text, given = argument
    if not isinstance(text, str) or not isinstance(given, dict) or compiler.function(given, (*path, 1)):
        raise compiler.error(_SHAPE, path)
    values = {name: compiler.value(value, (*path, 1, name)) for name, value in given.items()}
    return text, values, (*path, 0)


def _variable(compiler: Compiler, name: str, path: Path) -> Expression:
    """Return the expression for `${name}`: a parameter, a resource, or `${Resource.Attribute}`."""
    if (found := reference(compiler, name, None, path)) is not None:
        if isinstance(found, ResourceRef) and compiler.block == "Conditions":
            compiler.unresolved.append((name, path))
        return found
    resource, dot, attribute = name.partition(".")
    if not dot:
        compiler.unresolved.append((name, path))
        return ResourceRef(path, name, None)
    if resource not in compiler.resources or not attribute:
        raise compiler.error(f"Template error: instance of Fn::Sub references invalid resource attribute {name}", path)
    if compiler.block == "Conditions":
        compiler.unresolved.append((resource, path))
    return ResourceRef(path, resource, Literal(path, attribute))


COMPILERS = {"Fn::Sub": sub}
