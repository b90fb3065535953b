"""The syntax check of Go's `filepath.Match(pattern, ".")`, which Docker makes of each pattern of a `.dockerignore`.

Go stops at the first part that does not match `.`, so errors after that part are not reported.
"""

from __future__ import annotations

_NAME = "."


class BadPathPattern(ValueError):
    """A pattern that `filepath.Match` refuses."""


def check_path_pattern(pattern: str) -> None:
    """Raise `BadPathPattern` if Go refuses the pattern."""
    name = _NAME
    while pattern:
        star, chunk, pattern = _split_chunk(pattern)
        if star and not chunk:
            return
        rest = _match_chunk(chunk, name)
        if rest is None or (rest and not pattern):
            # Behind a star the chunk may match one character later, where nothing of the name is left.
            rest = _match_chunk(chunk, "") if star and name else None
            if rest is None:
                return
        name = rest


def _split_chunk(pattern: str) -> tuple[bool, str, str]:
    """Return whether there is a star, the part up to the next star outside a class, and the rest."""
    text = pattern.lstrip("*")
    in_class, end = False, 0
    while end < len(text):
        character = text[end]
        if character == "*" and not in_class:
            break
        if character == "\\" and end + 1 < len(text):
            end += 1
        in_class = (in_class or character == "[") and character != "]"
        end += 1
    return text != pattern, text[:end], text[end:]


def _match_chunk(chunk: str, name: str) -> str | None:
    """Return what is left of the name behind the chunk, or None if the chunk does not match."""
    failed = False
    while chunk:
        failed = failed or not name
        character, chunk = chunk[0], chunk[1:]
        if character == "[":
            matches, chunk = _match_class(chunk, name[:1])
        elif character == "?":
            matches = True
        else:
            if character == "\\":
                if not chunk:
                    raise BadPathPattern("nothing follows its last \\")
                character, chunk = chunk[0], chunk[1:]
            matches = character == name[:1]
        failed, name = failed or not matches, name[1:]
    return None if failed else name


def _match_class(chunk: str, character: str) -> tuple[bool, str]:
    """Return whether a class matches, and the chunk behind it."""
    negated = chunk.startswith("^")
    chunk = chunk[negated:]
    found = False
    first = True
    while first or not chunk.startswith("]"):
        first = False
        low, chunk = _class_character(chunk)
        high = low
        if chunk.startswith("-"):
            high, chunk = _class_character(chunk[1:])
        found = found or low <= character <= high
    return found != negated, chunk[1:]


def _class_character(chunk: str) -> tuple[str, str]:
    if chunk[:1] in ("-", "]"):
        raise BadPathPattern(f"write \\{chunk[0]} for a {chunk[0]} in brackets")
    chunk = chunk[1:] if chunk.startswith("\\") else chunk
    if len(chunk) < 2:
        raise BadPathPattern("a [ is not closed")
    if "\ud800" <= chunk[0] <= "\udfff":
        raise BadPathPattern("it has bytes in brackets that are not UTF-8")
    return chunk[0], chunk[1:]
