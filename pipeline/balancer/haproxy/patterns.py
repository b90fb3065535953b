"""Patterns with wildcards that no index can find: lists that HAProxy tries entry by entry, kept short.

A list is in the order of priority, so its first match applies. Patterns that require a text anywhere or at the end are
compared, not matched by a regular expression. Of the others, those that begin with a literal text are split into about
as many lists as each has members. A request uses only the list whose members begin as it does. So a thousand patterns
cost a request as much as three times thirty.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.balancer.haproxy.quoting import expression
from pipeline.balancer.model.application.wildcard import Wild, Wildcard

MIN_SPLIT_SIZE = 32
"""The number of different prefixes from which patterns are split into several lists."""
# A prefix that more than this many others begin with selects too little. Its patterns are tried for every request.
_MAX_SHARED_PREFIX = 8
# Appended to a prefix, it sorts after every text that begins with the prefix.
_AFTER_ALL_TEXTS = "\U0010ffff"

_SUBJECTS = {"host": "var(txn.host)", "path": "var(txn.path)", "key": "var(txn.host),concat(|,txn.path)"}


@dataclass(frozen=True)
class Pattern:
    """A host pattern and a path pattern, either of which may be missing, and the priority of their rule."""

    host: Wildcard | None
    path: Wildcard | None
    priority: int

    def kind(self) -> tuple[str, str, str]:
        """Return the subject (host, path or key), the match method (sub, end or reg), and the text to match."""
        if self.host is None or self.path is None:
            subject = "path" if self.host is None else "host"
            match (self.path or self.host or Wildcard(())).parts:
                case (Wild.ANY, str(text), Wild.ANY):
                    return subject, "sub", text
                case (Wild.ANY, str(text)):
                    return subject, "end", text
        host = expression(self.host, one="[^|]") if self.host else "[^|]*"
        path = expression(self.path) if self.path else ".*"
        return "key", "reg", rf"^{host}\|{path}$"

    def anchor(self) -> tuple[str, str] | None:
        """Return the literal text that its path, or else its host, begins with. None if both begin with a wildcard."""
        for subject, pattern in (("path", self.path), ("host", self.host)):
            first = pattern.parts[0] if pattern else None
            if isinstance(first, str) and len(first) > 1:
                return subject, first
        return None


class PatternLists:
    """The patterns of a listener, in lists. `prefix` is the prefix of the file names."""

    def __init__(self, patterns: Iterable[Pattern], prefix: str) -> None:
        self._prefix = prefix
        self._lists: dict[tuple[str, str], list[tuple[str, int]]] = {}
        anchored: dict[tuple[str, str], list[Pattern]] = {}
        for pattern in patterns:
            _, method, _ = pattern.kind()
            anchor = pattern.anchor()
            if method == "reg" and anchor:
                anchored.setdefault(anchor, []).append(pattern)
            else:
                self._add(pattern)
        self._buckets = [
            PrefixBuckets(subject, self._splittable(subject, anchored), prefix) for subject in ("path", "host")
        ]

    def files(self) -> dict[str, str]:
        """Return the lists: name → content."""
        found = {self._file(*kind): _content(members) for kind, members in self._lists.items()}
        for buckets in self._buckets:
            found.update(buckets.files())
        return found

    def lookups(self, default: int) -> Iterator[list[tuple[str, str]]]:
        """Yield alternatives of expressions that return a rule's priority, each with the condition that selects it."""
        for subject, method in self._lists:
            yield [(f"{_SUBJECTS[subject]},map_{method}_int({self._file(subject, method)},{default})", "")]
        for buckets in self._buckets:
            if found := list(buckets.lookups(default)):
                yield found

    def choices(self) -> Iterator[str]:
        """Yield lines that choose among the lists."""
        for buckets in self._buckets:
            yield from buckets.choices()

    def _add(self, pattern: Pattern) -> None:
        subject, method, text = pattern.kind()
        self._lists.setdefault((subject, method), []).append((text, pattern.priority))

    def _splittable(self, subject: str, anchored: Mapping[tuple[str, str], list[Pattern]]) -> dict[str, list[Pattern]]:
        """Return the anchors that are worth a separate list. The patterns of the others join the common list."""
        own = {text: patterns for (where, text), patterns in anchored.items() if where == subject}
        kept, texts = {}, sorted(own)
        for number, text in enumerate(texts):
            longer = bisect(texts, f"{text}{_AFTER_ALL_TEXTS}") - number - 1
            if len(own) < MIN_SPLIT_SIZE or longer > _MAX_SHARED_PREFIX:
                for pattern in own[text]:
                    self._add(pattern)
            else:
                kept[text] = own[text]
        return kept

    def _file(self, subject: str, method: str) -> str:
        return f"{self._prefix}.{subject}.{method}.map"


class PrefixBuckets:
    """Patterns in several lists, by the text that they begin with."""

    def __init__(self, subject: str, anchored: Mapping[str, list[Pattern]], prefix: str) -> None:
        self._subject = subject
        self._prefix = f"{prefix}.{subject}"
        self._anchored = anchored
        texts = sorted(anchored)
        size = math.ceil(math.sqrt(len(texts))) if texts else 1
        self._parts = [texts[start : start + size] for start in range(0, len(texts), size)]

    def files(self) -> dict[str, str]:
        """Return the map from prefixes to lists, and the lists: name → content."""
        if not self._parts:
            return {}
        numbers = sorted((text, number) for number, texts in enumerate(self._parts, start=1) for text in texts)
        found = {f"{self._prefix}.parts.map": _content(numbers, ordered=False)}
        for number, texts in enumerate(self._parts, start=1):
            found[self._list(number)] = _content({(p.kind()[2], p.priority) for p in self._members(texts)})
        return found

    def choices(self) -> Iterator[str]:
        """Yield the line that chooses the list."""
        if self._parts:
            parts = f"{_SUBJECTS[self._subject]},map_beg_int({self._prefix}.parts.map,0)"
            yield f"http-request set-var(txn.{self._subject}_part) {parts}"

    def lookups(self, default: int) -> Iterator[tuple[str, str]]:
        """Yield an expression for each list, and the condition that selects the list."""
        for number in range(1, len(self._parts) + 1):
            chosen = f"{{ var(txn.{self._subject}_part) -m int {number} }}"
            yield f"{_SUBJECTS['key']},map_reg_int({self._list(number)},{default})", chosen

    def _members(self, texts: list[str]) -> Iterator[Pattern]:
        """Yield the patterns that begin with one of the texts, or with a prefix of one."""
        beginnings = {text[:end] for text in texts for end in range(1, len(text) + 1)}
        for anchor in beginnings & self._anchored.keys():
            yield from self._anchored[anchor]

    def _list(self, number: int) -> str:
        return f"{self._prefix}.{number}.map"


def _content(members: Iterable[tuple[str, int]], *, ordered: bool = True) -> str:
    # Equal priorities are sorted by text, because the content must not differ between processes.
    lines = sorted(members, key=lambda member: (member[1], member[0])) if ordered else members
    return "".join(f"{text} {number}\n" for text, number in lines)
