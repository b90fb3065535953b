"""The error for a name that nobody has declared."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from pipeline.errors import ConfigError


def undeclared(what: str, known: Iterable[str], wanted: str) -> ConfigError:
    """`what` is not declared. The hint says which of `known` was likely meant, and what else there is."""
    names = sorted(known)
    near = get_close_matches(wanted, names, n=1)
    there = f"declared: {', '.join(names)}" if names else "nothing is declared"
    return ConfigError(f"{what} is not declared", hint="; ".join([*(f"did you mean {name}?" for name in near), there]))
