"""The instructions of a Dockerfile: lines with their continuations and flags, without heredocs."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

# Another name makes the line a comment, after which there are no directives.
_DIRECTIVE = re.compile(r"#\s*(syntax|escape|check)\s*=\s*(\S.*)", re.IGNORECASE)
# A word that begins with `--`. Quotes and backslashes may hide white space.
_FLAG = re.compile(r"""--((?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')+)(?:\s+|$)""")
_QUOTING = re.compile(r"""\\(.)|["']""")
# A separate word that is neither `<<<` nor the `<<` of arithmetic.
_HEREDOC = re.compile(r"(?<!\S)\d*<<(-?)([\"']?)([^\s\"'<>|&;()]+)\2(?!\S*<)")
_WITH_HEREDOC = ("RUN", "COPY", "ADD")


@dataclass(frozen=True)
class Instruction:
    """An instruction: its name in capitals, its flags and the text after them."""

    name: str
    flags: tuple[tuple[str, str], ...]
    text: str


def instructions(dockerfile: str, escape: str | None = None) -> Iterator[Instruction]:
    """Yield the instructions in their order. By default, `escape` is what the Dockerfile sets."""
    lines = deque(_lines(dockerfile))
    escape = escape or escape_character(dockerfile)
    while lines:
        whole = lines.popleft().strip()
        if not whole or whole.startswith("#"):
            continue
        while whole.endswith(escape):
            whole = f"{whole.removesuffix(escape).rstrip()} {_continuation(lines)}"
        instruction = _parse(whole)
        yield instruction
        for dash, _, word in _HEREDOC.findall(instruction.text) if instruction.name in _WITH_HEREDOC else ():
            _skip_heredoc(lines, word, strip=bool(dash))


def _continuation(lines: deque[str]) -> str:
    """Take the next line, after empty lines and comments."""
    while lines:
        line = lines.popleft().strip()
        if line and not line.startswith("#"):
            return line
    return ""


def escape_character(dockerfile: str) -> str:
    """Return the character that continues a line and escapes others. A directive at the top may change it."""
    for line in _lines(dockerfile):
        directive = _DIRECTIVE.fullmatch(line.strip())
        if directive is None:
            break
        if directive[1].lower() == "escape":
            # Docker 20.10 ignores what follows the first character.
            return directive[2][0]
    return "\\"


def _lines(dockerfile: str) -> list[str]:
    """Return the lines as Docker splits them. For `splitlines`, a form feed and others would end a line too."""
    return [line.removesuffix("\r") for line in dockerfile.removeprefix("\ufeff").split("\n")]


def _parse(line: str) -> Instruction:
    first, *rest = line.split(None, 1)
    name, text, flags = first.upper(), "".join(rest), list[tuple[str, str]]()
    if name == "ONBUILD":
        return Instruction(name, (), text)
    while match := _FLAG.match(text):
        flag, _, value = _QUOTING.sub(r"\1", match[1]).partition("=")
        flags.append((flag.lower(), value))
        text = text[match.end() :]
    return Instruction(name, tuple(flags), text)


def _skip_heredoc(lines: deque[str], word: str, *, strip: bool) -> None:
    """Drop the lines of a heredoc. Without its end it is not a heredoc."""
    for number, line in enumerate(lines, 1):
        if (line.lstrip("\t") if strip else line) == word:
            for _ in range(number):
                lines.popleft()
            return
