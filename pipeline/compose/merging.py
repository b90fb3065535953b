"""Two Compose files, or a service and the one that it extends, as one: the later one counts."""

from __future__ import annotations

from typing import Any

from pipeline.compose.places import Map, Override, Reset, Seq

# Lists, of which the later one replaces the earlier one.
_REPLACED = frozenset({"command", "entrypoint", "test"})
# Lists of NAME=value, which are merged as mappings.
_PAIRS = frozenset({"environment", "labels", "args", "extra_hosts", "sysctls", "annotations", "driver_opts"})
# Lists of names, which are merged with mappings by their names.
_NAMES = frozenset({"depends_on", "networks"})


def merge(base: Map, later: Map) -> Map:
    """Return a mapping with the keys of both, by Compose's rules."""
    result = base.copy()
    for key, value, place in later.entries():
        if isinstance(value, Reset):
            result.pop(key, None)
        elif isinstance(value, Override):
            result.put(key, value.value, place)
        else:
            result.put(key, _joined(key, result[key], value) if key in result else value, place)
    return result


def cleaned(value: Any) -> Any:
    """Return a value without the tags that only have a meaning between files."""
    if isinstance(value, Override):
        return cleaned(value.value)
    if isinstance(value, Map):
        mapping = Map(value.place)
        for key, item, place in value.entries():
            if not isinstance(item, Reset):
                mapping.put(key, cleaned(item), place)
        return mapping
    if isinstance(value, Seq):
        items = Seq(value.place)
        for item, place in value.entries():
            if not isinstance(item, Reset):
                items.add(cleaned(item), place)
        return items
    return None if isinstance(value, Reset) else value


def _joined(key: str, base: Any, later: Any) -> Any:
    if key in _REPLACED or later is None:
        return base if later is None else later
    if key in _PAIRS or (key in _NAMES and type(base) is not type(later)):
        base, later = _as_map(base, "=" if key in _PAIRS else ""), _as_map(later, "=" if key in _PAIRS else "")
    if isinstance(base, Map) and isinstance(later, Map):
        return merge(base, later)
    if isinstance(base, Seq) and isinstance(later, Seq):
        return _concatenated(base, later, by_target=key == "volumes")
    return later


def _as_map(value: Any, separator: str) -> Any:
    if not isinstance(value, Seq):
        return value
    result = Map(value.place)
    for item, place in value.entries():
        if not isinstance(item, str | int | float):
            return value
        name, found, text = str(item).partition(separator) if separator else (str(item), "", "")
        result.put(name, text if found else None, place)
    return result


def _concatenated(base: Seq, later: Seq, *, by_target: bool) -> Seq:
    """Return the items of both lists. A volume for the same path in the container replaces the one before."""
    replaced = {_target(item) for item in later} if by_target else set()
    result = Seq(later.place)
    for item, place in base.entries():
        if item not in later and not (by_target and _target(item) in replaced):
            result.add(item, place)
    for item, place in later.entries():
        result.add(item, place)
    return result


def _target(volume: Any) -> str:
    if isinstance(volume, dict):
        return str(volume.get("target", ""))
    parts = str(volume).split(":")
    return parts[1] if len(parts) > 1 else parts[0]
