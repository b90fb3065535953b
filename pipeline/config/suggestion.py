"""The nearest right spelling."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that somebody who wrote `word` most likely meant."""
    folded = {w.lower(): w for w in known}
    close = get_close_matches(word.lower(), sorted(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for somebody who wrote `word`: what it is close to, else what there is."""
    words = sorted(known)
    if near := nearest(word, words):
        return f"did you mean {near}?"
    return f"known: {', '.join(words)}" if words else ""
