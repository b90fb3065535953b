"""Random values of the shapes in botocore's models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from hypothesis import strategies as st

# What XML 1.0 can carry.
_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=8
)
_MAX_ITEMS = 2
_MAX_DEPTH = 4
_TIMES = st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)
)


def model(name: str) -> ServiceModel:
    """Return the newest model of a service."""
    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


@dataclass(frozen=True)
class Values:
    """Makes strategies for the values of shapes. A form cannot express empty maps, and in `ec2` no empty lists."""

    least_items: int = 0
    least_entries: int = 0

    def root(self, shape: Shape | None) -> st.SearchStrategy[dict[str, Any]]:
        """Return valid inputs or outputs of an operation."""
        return st.just({}) if shape is None else self._structure(shape, 0)

    def _value(self, shape: Shape, depth: int) -> st.SearchStrategy[Any]:
        match shape.type_name:
            case "structure":
                # A form cannot express an empty structure.
                return self._structure(shape, depth).filter(bool)
            case "list":
                least = max(self.least_items, shape.metadata.get("min", 0))
                return st.lists(self._value(shape.member, depth), min_size=least, max_size=max(least, _MAX_ITEMS))
            case "map":
                entry = self._value(shape.key, depth), self._value(shape.value, depth)
                return st.dictionaries(*entry, min_size=self.least_entries, max_size=_MAX_ITEMS)
        return _scalar(shape)

    def _structure(self, shape: Shape, depth: int) -> st.SearchStrategy[dict[str, Any]]:
        members = {
            name: self._value(each, depth + 1)
            for name, each in shape.members.items()
            if not _is_hollow(each) and (name in shape.required_members or depth < _MAX_DEPTH or _is_scalar(each))
        }
        required = {name: each for name, each in members.items() if name in shape.required_members}
        optional = {name: each for name, each in members.items() if name not in required}
        return st.fixed_dictionaries(required, optional=optional)


def _scalar(shape: Shape) -> st.SearchStrategy[Any]:
    least = shape.metadata.get("min")
    match shape.type_name:
        case "string":
            return _strings(shape)
        case "boolean":
            return st.booleans()
        case "timestamp":
            return _TIMES
        case "blob":
            return st.binary(min_size=least or 0, max_size=(least or 0) + 8)
        case "float" | "double":
            return st.floats(-1e6, 1e6)
    return st.integers(-1000 if least is None else least, shape.metadata.get("max", 100_000))


def _is_scalar(shape: Shape) -> bool:
    return shape.type_name not in ("structure", "list", "map")


def _is_hollow(shape: Shape) -> bool:
    """Return whether a shape has only empty values."""
    if shape.type_name == "list":
        return _is_hollow(shape.member)
    return shape.type_name == "structure" and all(_is_hollow(each) for each in shape.members.values())


def _strings(shape: Shape) -> st.SearchStrategy[str]:
    rules = shape.metadata
    if rules.get("enum"):
        return st.sampled_from(rules["enum"])
    least, most = rules.get("min", 0), rules.get("max", 64)
    pattern = rules.get("pattern", "")
    # Hypothesis takes minutes for a range of all letters, and all of those patterns allow this one.
    if "\\u" in pattern or "\\p" in pattern:
        return st.just("x" * max(least, 1))
    if pattern:
        return st.from_regex(
            pattern, fullmatch=True, alphabet=st.characters(max_codepoint=126, min_codepoint=33)
        ).filter(lambda text: least <= len(text) <= most)
    return _TEXT.map(lambda text: text[:most] + "x" * (least - len(text)))
