"""`$NAME` and `${NAME:-default}` in a text, as in the files of Docker Compose."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
_MAX_DEPTH = 20


def interpolate(text: str, variables: Mapping[str, str], depth: int = 0) -> str:
    """Return `text` with its variables resolved and `$$` as a `$`. Another `$` is literal.

    Forms: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?error}`, `${NAME:+other}`, and each without the colon, which
    takes an empty value for a set one. Raises `ValueError` for an unset variable and an invalid form.
    """
    if depth > _MAX_DEPTH:
        raise ValueError(f"a value must nest at most {_MAX_DEPTH} ${{...}}")
    parts, at = [], 0
    while (dollar := text.find("$", at)) >= 0:
        parts.append(text[at:dollar])
        following = text[dollar + 1 : dollar + 2]
        if following == "{":
            end = closing_brace(text, dollar + 2)
            if end is None:
                raise ValueError("${ must be closed with }; write $$ for a $")
            at = end + 1
            parts.append(_braced(text[dollar + 2 : end], variables, depth))
        elif name := _NAME.match(text, dollar + 1):
            at = name.end()
            parts.append(_look_up(name[0], variables))
        else:
            at = dollar + 1 + (following == "$")
            parts.append("$")
    return "".join((*parts, text[at:]))


def _braced(expression: str, variables: Mapping[str, str], depth: int) -> str:
    name = _NAME.match(expression)
    if name is None:
        raise ValueError("${...} must contain a variable name; write $$ for a $")
    rest = expression[name.end() :]
    if not rest:
        return _look_up(name[0], variables)
    operator = _OPERATOR.match(rest)
    if operator is None:
        raise ValueError("${NAME} must continue with :-, :? or :+, or end; write $$ for a $")
    value = variables.get(name[0])
    is_set = value is not None and (value != "" or not operator[0].startswith(":"))
    word = rest[operator.end() :]
    match operator[0][-1]:
        case "+":
            return interpolate(word, variables, depth + 1) if is_set else ""
        case "?" if not is_set:
            raise ValueError(f"{name[0]} is not set: {interpolate(word, variables, depth + 1)}")
        case "-" if not is_set:
            return interpolate(word, variables, depth + 1)
    return value or ""


def _look_up(name: str, variables: Mapping[str, str]) -> str:
    try:
        return variables[name]
    except KeyError:
        # Without its name, which is a part of a secret if the `$` was meant literally.
        raise ValueError("a variable in the value is not set; write $$ or single quotes for a literal $") from None


def closing_brace(text: str, at: int) -> int | None:
    """Return the position of the brace that closes the one before `at`, or None."""
    depth = 1
    for position in range(at, len(text)):
        opens = text.startswith("${", position)
        depth += opens - (text[position] == "}")
        if depth == 0:
            return position
    return None
