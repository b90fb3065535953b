"""ELB's patterns: `*` matches any number of characters, `?` exactly one, and a backslash makes them literal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache


class Wild(Enum):
    """The two wildcards."""

    ANY = "*"
    ONE = "?"


@dataclass(frozen=True)
class Wildcard:
    """A parsed pattern. `parts` are literal texts and wildcards in their order."""

    parts: tuple[str | Wild, ...]

    @classmethod
    @lru_cache(maxsize=8192)
    def parse(cls, text: str) -> Wildcard:
        """Parse a pattern. A backslash before `*`, `?` or a backslash makes it literal. Elsewhere it is itself."""
        parts: list[str | Wild] = []
        for token in re.findall(r"\\[*?\\]|.", text, re.DOTALL):
            if token in ("*", "?"):
                parts.append(Wild(token))
            elif parts and isinstance(parts[-1], str):
                parts[-1] += token[-1]
            else:
                parts.append(token[-1])
        return cls(tuple(parts))

    @cached_property
    def wilds(self) -> int:
        """The number of wildcards in it."""
        return sum(isinstance(part, Wild) for part in self.parts)

    @property
    def literal(self) -> str | None:
        """The only text that it matches, or None if it has wildcards."""
        return None if self.wilds else "".join(str(part) for part in self.parts)

    @property
    def prefix(self) -> str | None:
        """The prefix, if the pattern matches exactly the texts that begin with it. Otherwise None."""
        match self.parts:
            case (Wild.ANY,):
                return ""
            case (str(text), Wild.ANY):
                return text
        return None

    @property
    def suffix(self) -> str | None:
        """The suffix, if the pattern matches exactly the texts that end in it. Otherwise None."""
        match self.parts:
            case (Wild.ANY, str(text)):
                return text
        return None

    def matches(self, text: str) -> bool:
        """Return whether the whole text matches."""
        return _matches(self.parts, text)


def _matches(parts: tuple[str | Wild, ...], text: str) -> bool:
    """Match in one pass, going back only to the last `*`."""
    units = [unit for part in parts for unit in (part if isinstance(part, str) else [part])]
    at, unit, star, resume = 0, 0, -1, 0
    while at < len(text):
        if unit < len(units) and units[unit] is Wild.ANY:
            star, resume = unit, at
            unit += 1
        elif unit < len(units) and (units[unit] is Wild.ONE or units[unit] == text[at]):
            at, unit = at + 1, unit + 1
        elif star >= 0:
            resume += 1
            at, unit = resume, star + 1
        else:
            return False
    return all(rest is Wild.ANY for rest in units[unit:])
