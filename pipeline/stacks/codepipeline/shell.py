"""The commands in a build's scripts, as far as they are simple."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_SEPARATORS = frozenset({";", "&&", "||", "|", "&", "(", ")"})


def simple_commands(script: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command of a script. Lines that are no complete commands are one word each."""
    for line in re.sub(r"\\\r?\n", " ", script).splitlines():
        try:
            yield from _split(line)
        except ValueError:
            yield (line.strip(),)


def _split(line: str) -> Iterator[tuple[str, ...]]:
    # Substitutions have spaces and brackets in them, which are no separators.
    found = shlex.shlex(
        re.sub(r"\$\([^()]*\)", lambda match: shlex.quote(match[0]), line), posix=True, punctuation_chars=";&|()"
    )
    found.whitespace_split = True
    found.commenters = "#"
    words: list[str] = []
    for word in found:
        if word not in _SEPARATORS:
            words.append(word)
        elif words:
            yield tuple(words)
            words = []
    if words:
        yield tuple(words)


def without_assignments(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command without the variables that are set for it. Empty if there is nothing else."""
    for index, word in enumerate(words):
        if not _ASSIGNMENT.fullmatch(word):
            return words[index:]
    return ()


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with the values of the variables that are known."""
    return _VARIABLE.sub(lambda match: variables.get(match[1] or match[2], match[0]), text)
