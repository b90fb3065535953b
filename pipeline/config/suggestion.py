"""The nearest right spelling."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for somebody who wrote `word`: what it is close to, else what there is."""
    words = sorted(known)
    folded = {w.lower(): w for w in words}
    close = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean {folded[close[0]]}?"
    return f"known: {', '.join(words)}" if words else ""
