"""Rules with wildcards that no tree can find: lists that HAProxy tries one by one, kept short.

A list is in the order of priority, so the first that matches is the one. What only looks for a text somewhere, or at
the end, is compared, not matched by an expression. Of the rest, those that begin with some text are buckets over about
as many lists as each has members, and a request only meets the one whose members begin as it does: so a thousand
patterns cost a request what some thirty do, three times.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.balancer.haproxy.quoting import expression
from pipeline.balancer.model.application.wildcard import Wild, Wildcard

MIN_SPLIT_SIZE = 32
"""Fewer different beginnings than this are not split into several lists."""
# A beginning that so many others share says too little: its patterns are tried for every request.
_MAX_SHARED_PREFIX = 8
# After every text that begins in the same way.
_AFTER_ALL_TEXTS = "\U0010ffff"

_SUBJECTS = {"host": "var(txn.host)", "path": "var(txn.path)", "key": "var(txn.host),concat(|,txn.path)"}


@dataclass(frozen=True)
class Pattern:
    """A host pattern and a path pattern, either of which may be missing, and the rule that they lead to."""

    host: Wildcard | None
    path: Wildcard | None
    priority: int

    def kind(self) -> tuple[str, str, str]:
        """What is looked at, how it is matched, and by what."""
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
        """The text that its path or else its host begins with; None where it begins with a wildcard."""
        for subject, pattern in (("path", self.path), ("host", self.host)):
            first = pattern.parts[0] if pattern else None
            if isinstance(first, str) and len(first) > 1:
                return subject, first
        return None


class PatternLists:
    """All patterns of a listener. `prefix` begins the names of the files."""

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
        """The lists: name → content."""
        found = {self._file(*kind): _content(members) for kind, members in self._lists.items()}
        for buckets in self._buckets:
            found.update(buckets.files())
        return found

    def lookups(self, default: int) -> Iterator[list[tuple[str, str]]]:
        """Expressions whose answer is a rule's priority, with the condition of each. One of a list is asked."""
        for subject, method in self._lists:
            yield [(f"{_SUBJECTS[subject]},map_{method}_int({self._file(subject, method)},{default})", "")]
        for buckets in self._buckets:
            if found := list(buckets.lookups(default)):
                yield found

    def choices(self) -> Iterator[str]:
        """Lines that choose among lists."""
        for buckets in self._buckets:
            yield from buckets.choices()

    def _add(self, pattern: Pattern) -> None:
        subject, method, text = pattern.kind()
        self._lists.setdefault((subject, method), []).append((text, pattern.priority))

    def _splittable(self, subject: str, anchored: Mapping[tuple[str, str], list[Pattern]]) -> dict[str, list[Pattern]]:
        """The anchors of a subject that are worth choosing by; the patterns of the others join the common list."""
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
    """Patterns by the text that they begin with, over several lists."""

    def __init__(self, subject: str, anchored: Mapping[str, list[Pattern]], prefix: str) -> None:
        self._subject = subject
        self._prefix = f"{prefix}.{subject}"
        self._anchored = anchored
        texts = sorted(anchored)
        size = math.ceil(math.sqrt(len(texts))) if texts else 1
        self._parts = [texts[start : start + size] for start in range(0, len(texts), size)]

    def files(self) -> dict[str, str]:
        """What leads from a beginning to its list, and the lists."""
        if not self._parts:
            return {}
        numbers = sorted((text, number) for number, texts in enumerate(self._parts, start=1) for text in texts)
        found = {f"{self._prefix}.parts.map": _content(numbers, ordered=False)}
        for number, texts in enumerate(self._parts, start=1):
            found[self._list(number)] = _content({(p.kind()[2], p.priority) for p in self._members(texts)})
        return found

    def choices(self) -> Iterator[str]:
        """The line that chooses the list."""
        if self._parts:
            parts = f"{_SUBJECTS[self._subject]},map_beg_int({self._prefix}.parts.map,0)"
            yield f"http-request set-var(txn.{self._subject}_part) {parts}"

    def lookups(self, default: int) -> Iterator[tuple[str, str]]:
        """An expression for each list, and the condition under which that is the one to ask."""
        for number in range(1, len(self._parts) + 1):
            chosen = f"{{ var(txn.{self._subject}_part) -m int {number} }}"
            yield f"{_SUBJECTS['key']},map_reg_int({self._list(number)},{default})", chosen

    def _members(self, texts: list[str]) -> Iterator[Pattern]:
        """What begins with one of the texts, or with a shorter one that these begin with."""
        beginnings = {text[:end] for text in texts for end in range(1, len(text) + 1)}
        for anchor in beginnings & self._anchored.keys():
            yield from self._anchored[anchor]

    def _list(self, number: int) -> str:
        return f"{self._prefix}.{number}.map"


def _content(members: Iterable[tuple[str, int]], *, ordered: bool = True) -> str:
    # One order of those that have the same priority: what is written must not differ from process to process.
    lines = sorted(members, key=lambda member: (member[1], member[0])) if ordered else members
    return "".join(f"{text} {number}\n" for text, number in lines)
