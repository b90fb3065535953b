"""Suggestions for unknown names."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.base.errors import ConfigError


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that is closest to `word`, or None."""
    # Only errors need it.
    from difflib import get_close_matches

    folded = {w.lower(): w for w in known}
    close = get_close_matches(word.lower(), sorted(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown `word`: the closest known name, else all known names."""
    words = sorted(known)
    if near := nearest(word, words):
        return f"did you mean {near}?"
    return f"known: {', '.join(words)}" if words else ""


def not_declared(what: str, known: Iterable[str], wanted: str) -> ConfigError:
    """Return the error for a name that is not declared. Its hint has the closest name and all declared ones."""
    names = sorted(known)
    near = nearest(wanted, names)
    declared = f"declared: {', '.join(names)}" if names else "nothing is declared"
    return ConfigError(f"{what} is not declared", hint=f"did you mean {near}?; {declared}" if near else declared)
