"""Files of `NAME=value` lines, with the grammar of Docker Compose's environment files.

One difference: an unset variable in a value is an error. Compose uses an empty text, so a password with a `$` would
silently lose a part.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping
from typing import cast

from pipeline.base.errors import ConfigError
from pipeline.config.dotenv_interpolation import interpolate

_BLANK = re.compile(r"(?:\s+|#[^\n]*)*")
_SPACE = re.compile(r"[^\S\n]*")
_NAME = re.compile(r"(?:export[^\S\n]+)?([\w.\[\]-]+)[^\S\n]*[=:][^\S\n]*")
# A name without a value.
_BARE = re.compile(r"(?:export[^\S\n]+)?([\w.\[\]-]+)[^\S\n]*(?:#[^\n]*)?(?=\n|\Z)")
_UNQUOTED = re.compile(r"[^\n]*")
# Within quotes, a backslash takes the next character with it, so that it can escape the quote.
_QUOTED = {
    '"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL),
}
_AFTER_QUOTE = re.compile(r"[^\S\n]*(?:#[^\n]*)?(?=\n|\Z)")
_ESCAPE = re.compile(r"\\([abfnrtv\"\\$]|0[0-7]{3})")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}


def parse_dotenv(
    text: str,
    environ: Mapping[str, str] | None,
    source: str,
    inherited: Callable[[str], str | None] | None = None,
) -> dict[str, str]:
    """Return the values of a file by their names.

    `environ` has the variables that values may contain besides those above them. With None, a `$` is literal. A name
    without a value gets that of `inherited`. If that is None, the name is left out. Without `inherited`, it is an
    error. Raises `ConfigError` with `source` and the line, but not with its text, which may contain a secret.
    """
    found: dict[str, str] = {}
    # Nothing is written into it, so the environment need not be mutable.
    variables = None if environ is None else ChainMap(cast("MutableMapping[str, str]", environ), found)
    text = text.replace("\r\n", "\n")
    at = 0
    while (at := _skip(_BLANK, text, at)) < len(text):
        start = at
        try:
            if inherited is not None and (bare := _BARE.match(text, at)):
                at, value = bare.end(), inherited(bare[1])
                found |= {} if value is None else {bare[1]: value}
                continue
            name = _NAME.match(text, at)
            if name is None:
                raise ValueError("must have the form NAME=value")
            written, literal, at = _value(text, name.end())
            found[name[1]] = written if literal or variables is None else interpolate(written, variables)
        except ValueError as error:
            raise ConfigError(f"{source}:{text.count(chr(10), 0, start) + 1}: {error}") from None
    return found


def _value(text: str, at: int) -> tuple[str, bool, int]:
    """Return the value at a position, True if a `$` in it is literal, and the position after it."""
    quote = text[at : at + 1]
    if quote not in _QUOTED or not quote:
        match = _UNQUOTED.match(text, at)
        assert match is not None
        return match[0].partition(" #")[0].rstrip(), False, match.end()
    quoted = _QUOTED[quote].match(text, at)
    if quoted is None:
        raise ValueError(f"the value has no closing {quote}")
    after = _AFTER_QUOTE.match(text, quoted.end())
    if after is None:
        raise ValueError(f"must have nothing but a comment after the closing {quote}")
    if quote == "'":
        return quoted[1].replace("\\'", "'"), True, after.end()
    return _ESCAPE.sub(_unescape, quoted[1]), False, after.end()


def _unescape(match: re.Match[str]) -> str:
    if match[1] == "$":
        return "$$"  # A literal one, for the interpolation.
    return chr(int(match[1], 8)) if match[1][0] == "0" else _ESCAPED[match[1]]


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
