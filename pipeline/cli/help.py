"""The help of `pipeline`, as click formats it, without the time that click takes to import."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from pipeline.cli.commands import COMMANDS, GROUPS, SUMMARY

_MAX_COLUMNS, _MIN_COLUMNS = 80, 50
_OPTIONS = {"--version": "Show the version and exit.", "-h, --help": "Show this message and exit."}


def print_help() -> None:
    """Print the help. The reader of the output may have exited."""
    try:
        sys.stdout.write(help_text(_columns()))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def help_text(columns: int) -> str:
    """Return the help for a terminal of this width."""
    width = max(min(columns, _MAX_COLUMNS) - 2, _MIN_COLUMNS)
    lines = ["Usage: pipeline [OPTIONS] COMMAND [ARGS]..."]
    for paragraph in SUMMARY:
        lines += ["", *(f"  {line}" for line in _wrapped(paragraph, width - 2))]
    lines += ["", "Options:", *_rows(_OPTIONS, max(map(len, _OPTIONS)), width)]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:", *_rows(commands, max(map(len, COMMANDS)), width)]
    return "\n".join([*lines, ""])


def _rows(rows: dict[str, str], name_width: int, width: int) -> Iterator[str]:
    """Yield a name and its text per row, the text wrapped beside the name."""
    for name, text in rows.items():
        first, *others = _wrapped(text, width - name_width - 4)
        yield f"  {name.ljust(name_width)}  {first}"
        yield from (f"{'':{name_width + 4}}{line}" for line in others)


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a text, each as long as possible."""
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = ""
        line = f"{line} {word}".lstrip()
    yield line


def _columns() -> int:
    """Return the width of the terminal, by the rules of Python's `shutil.get_terminal_size`."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or _MAX_COLUMNS  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return _MAX_COLUMNS
