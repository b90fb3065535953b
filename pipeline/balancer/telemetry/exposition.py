"""Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Family:
    """A metric: its name, what it counts, and in which way."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str

    def lines(self, samples: Iterable[tuple[str, Labels, float]]) -> Iterator[str]:
        """Its text. A sample: what follows the name, labels, value. Nothing where there are no samples."""
        head = [f"# HELP {self.name} {_escaped(self.help)}", f"# TYPE {self.name} {self.kind}"]
        for suffix, labels, value in samples:
            yield from head
            head = []
            yield f"{self.name}{suffix}{_braced(labels)} {value:.15g}"


def labels(pairs: Mapping[str, str | None]) -> Labels:
    """The labels that have a value."""
    return tuple((name, value) for name, value in pairs.items() if value is not None)


def _braced(pairs: Labels) -> str:
    return "{" + ",".join(f'{name}="{_quoted(value)}"' for name, value in pairs) + "}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    return re.sub(r"[\\\"]", r"\\\g<0>", text).replace("\n", r"\n")
