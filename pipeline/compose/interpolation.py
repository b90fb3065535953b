"""The variables in a text of a Compose file: `$NAME`, `${NAME:-default}` and the other forms."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.config.dotenv_interpolation import closing_brace

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
_MAX_DEPTH = 20


@dataclass(frozen=True)
class Variable:
    """A variable in a text. `operator` is ``, `-`, `?` or `+`, and `word` what follows it."""

    name: str
    operator: str = ""
    word: tuple[str | Variable, ...] = ()


Parts = tuple[str | Variable, ...]


def parse_text(text: str, depth: int = 0) -> Parts:
    """Return the literal parts and the variables of a text. Raises `ValueError` for an invalid form."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"must nest at most {_MAX_DEPTH} ${{...}}")
    parts: list[str | Variable] = []
    literal, at = "", 0
    while (dollar := text.find("$", at)) >= 0:
        literal += text[at:dollar]
        following = text[dollar + 1 : dollar + 2]
        found: Variable | None = None
        if following == "{":
            end = closing_brace(text, dollar + 2)
            if end is None:
                raise ValueError("has a ${ without a }; write $$ for a $")
            at = end + 1
            found = _braced(text[dollar + 2 : end], depth)
        elif name := _NAME.match(text, dollar + 1):
            at = name.end()
            found = Variable(name[0])
        elif following == "$":
            at, literal = dollar + 2, literal + "$"
        else:
            raise ValueError("has a $ that begins no variable; write $$ for a $")
        if found is not None:
            parts += [literal, found] if literal else [found]
            literal = ""
    literal += text[at:]
    return (*parts, literal) if literal else tuple(parts)


def _braced(expression: str, depth: int) -> Variable:
    name = _NAME.match(expression)
    if name is None:
        raise ValueError("has a ${...} without the name of a variable; write $$ for a $")
    rest = expression[name.end() :]
    if not rest:
        return Variable(name[0])
    operator = _OPERATOR.match(rest)
    if operator is None:
        raise ValueError(f"has ${{{name[0]}...}}, which must continue with :-, :? or :+; write $$ for a $")
    return Variable(name[0], operator[0][-1], parse_text(rest[operator.end() :], depth + 1))
