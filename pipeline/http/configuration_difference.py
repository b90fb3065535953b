"""The difference of two configurations, key by key. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from pipeline.base.quantity import format_size
from pipeline.http.responses.release_difference import ConfigurationChangeResponse

HIDDEN = "(hidden)"
"""The value of a key that may be a secret."""
_SECRET_NAME = re.compile(
    r"password|passwd|passphrase|secret|token|credential|private|api_?key|[_-]key(?![a-z])"
    r"|(?<![a-z])(?:pass|dsn|salt)(?![a-z])",
    re.IGNORECASE,
)
# Sizes in bytes, which pipeline.yaml has with a unit.
_SIZE = re.compile(r"(?:^|_)(?:memory|size)(?:_|$)")
# The part of a URL before the host, with a password. The name ends at the first colon, so that the time is linear.
_URL_WITH_PASSWORD = re.compile(r"(?<=://)[^/?#\s:]*:[^/?#\s]*(?=@)")
_REFERENCE = re.compile(r"\$\{secret:[^}]*\}")


def configuration_changes(before: Any, after: Any) -> list[ConfigurationChangeResponse]:
    """Return the keys that differ between two configurations of JSON data, in the order of the second one.

    The value of a key whose name is that of a secret is hidden, unless it is a `${secret:NAME}`. So are passwords in
    URLs. A list of objects is compared object by object, so one that is inserted does not change those after it.
    """
    return list(_changes("", before, after))


def _changes(key: str, before: Any, after: Any) -> Iterator[ConfigurationChangeResponse]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*after, *(name for name in before if name not in after)]:
            yield from _of_entry(f"{key}.{name}" if key else str(name), str(name), before, after)
    elif _is_list_of_objects(before) and _is_list_of_objects(after):
        yield from _of_lists(key, before, after)
    else:
        yield _change(key, before, after)


def _of_entry(
    key: str, name: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[ConfigurationChangeResponse]:
    # A key that is left out and one without a value mean the same.
    old, new = before.get(name), after.get(name)
    if old is None and new is not None:
        yield from _leaves(key, new, "added")
    elif new is None and old is not None:
        yield from _leaves(key, old, "removed")
    else:
        yield from _changes(key, old, new)


def _leaves(key: str, value: Any, change: str) -> Iterator[ConfigurationChangeResponse]:
    """Yield the change of a value that only one of the two has. One for each key of an object."""
    found = {name: each for name, each in value.items() if each is not None} if isinstance(value, Mapping) else {}
    for name, each in found.items():
        yield from _leaves(f"{key}.{name}", each, change)
    if not found and value not in ({}, []):
        yield _change(key, None, value) if change == "added" else _change(key, value, None)


def _of_lists(key: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[ConfigurationChangeResponse]:
    old, new = ([json.dumps(each, sort_keys=True) for each in found] for found in (before, after))
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        paired = min(i2 - i1, j2 - j1)
        for offset in range(paired):
            yield from _changes(f"{key}[{j1 + offset}]", before[i1 + offset], after[j1 + offset])
        for place in range(i1 + paired, i2):
            yield _change(f"{key}[{place}]", before[place], None)
        for place in range(j1 + paired, j2):
            yield _change(f"{key}[{place}]", None, after[place])


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


def _change(key: str, before: Any, after: Any) -> ConfigurationChangeResponse:
    change = "added" if before is None else "removed" if after is None else "changed"
    name = key.rpartition(".")[2]
    return ConfigurationChangeResponse(key=key, change=change, before=_shown(name, before), after=_shown(name, after))


def _shown(name: str, value: Any) -> Any:
    """Return a value without what may be a secret."""
    if isinstance(value, Mapping):
        return {key: _shown(str(key), each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_shown(name, each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and _SIZE.search(name):
        return format_size(value)
    if not isinstance(value, str):
        return value
    if _SECRET_NAME.search(name) and _REFERENCE.sub("", value):
        return HIDDEN
    return _URL_WITH_PASSWORD.sub(HIDDEN, value)
