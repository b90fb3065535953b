"""The kinds of events that there are, and the fields of each, as machines read them."""

from __future__ import annotations

import ast
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from tests.conftest import ROOT
from tests.golden.conftest import Golden

_PACKAGES = ("pipeline", "stages")
# Where this is called, the first argument is a kind if it has the form of one.
_WRAPPER = "_tell"
_KIND = re.compile(r"[a-z_*]+\.[a-z_*]+")
# Stands for a part that is only known when the event is emitted: in a kind, and for fields that a mapping gives.
_ANY = "*"

Kinds = dict[str, set[str]]


def test_events_have_the_same_kinds_and_fields(golden: Golden) -> None:
    """Every kind that the sources emit is in the golden file with its fields, and no other."""
    found = {kind: sorted(fields) for kind, fields in sorted(_emitted().items())}
    golden("events.json", json.dumps(found, indent=1) + "\n")


def test_what_a_home_recorded_is_found_in_the_sources(recorded_home: Path) -> None:
    """Each event that real runs have written is of a kind that the sources emit, with no field that they do not."""
    known = _emitted()
    with closing(sqlite3.connect(recorded_home / "penstock.db")) as database:
        recorded = database.execute("SELECT DISTINCT kind, fields FROM events").fetchall()
    assert len({kind for kind, _ in recorded}) > 20
    for kind, fields in recorded:
        patterns = [pattern for pattern in known if fnmatchcase(kind, pattern)]
        assert patterns, f"no source emits {kind}"
        allowed = set().union(*(known[pattern] for pattern in patterns))
        assert _ANY in allowed or set(json.loads(fields)) <= allowed, f"{kind} has {fields}, not {sorted(allowed)}"


@dataclass
class _Module:
    """The calls of one source file that emit something. `wrapped` are the fields that a wrapper in it adds."""

    kinds: Kinds = field(default_factory=dict)
    wrapped: set[str] = field(default_factory=set)

    def read(self, tree: ast.Module) -> None:
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and function.name == _WRAPPER:
                self.wrapped = set().union(*(_fields(call) for call in _calls(function, "emit")))
        for call in _calls(tree, "emit"):
            self._add(call.args[0], _fields(call))
        for call in _calls(tree, _WRAPPER):
            self._add(call.args[0], self.wrapped | _fields(call))

    def _add(self, kind: ast.expr, fields: set[str]) -> None:
        parts = kind.values if isinstance(kind, ast.JoinedStr) else [kind]
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else _ANY for part in parts)
        if _KIND.fullmatch(text):
            self.kinds.setdefault(text, set()).update(fields)


def _emitted() -> Kinds:
    found: Kinds = {}
    for path in sorted(path for package in _PACKAGES for path in (ROOT / package).rglob("*.py")):
        module = _Module()
        module.read(ast.parse(path.read_text()))
        for kind, fields in module.kinds.items():
            found.setdefault(kind, set()).update(fields)
    return found


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node) == name and node.args:
            yield node


def _name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _fields(call: ast.Call) -> set[str]:
    return {keyword.arg or _ANY for keyword in call.keywords}
