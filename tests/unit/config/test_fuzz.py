"""Any content of a pipeline.yaml loads or raises `ConfigError`, and never another exception."""

from __future__ import annotations

import random
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.base.errors import ConfigError
from pipeline.config.load import load
from tests.support.pipeline_yaml import GOOD
from tests.support.sample import sampled

_PATH = Path(tempfile.mkdtemp()) / "pipeline.yaml"
_WORDS = sorted({word for word in GOOD.replace(":", " ").replace("{", " ").replace("}", " ").split() if word})
_VALUES = st.one_of(
    st.sampled_from([*_WORDS, "${replicas}", "${env:X}", "${secret:Y}", "!!int", "&a", "*a", "<<", "~", "0x1F", "1e9"]),
    st.sampled_from(
        ["[", "]", "{", "}", ":", "- ", "|", ">", "'", '"', "#", "?", "---", "\t", "\n", "%", "25%", "500ms"]
    ),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.text(max_size=8),
)


def holds(content: bytes) -> None:
    _PATH.write_bytes(content)
    with suppress(ConfigError):
        load(_PATH, {}, {})


@settings(max_examples=sampled(200), deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    """Any bytes load or raise `ConfigError`."""
    holds(content)


@settings(max_examples=sampled(1200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 30), _VALUES), min_size=1, max_size=5))
def test_a_good_file_with_anything_written_over_it(edits: list[tuple[int, int, str]]) -> None:
    """A good file with drawn text at a drawn position loads or raises `ConfigError`."""
    text = GOOD
    for start, length, new in edits:
        text = text[:start] + new + text[start + length :]
    holds(text.encode(errors="replace"))


@settings(max_examples=sampled(600), deadline=None)
@given(st.randoms(use_true_random=False), _VALUES, st.integers(1, 3))
def test_a_good_file_with_values_of_another_kind(chance: random.Random, value: str, count: int) -> None:
    """A key with a value of any other type loads or raises `ConfigError`."""
    shapes: list[Any] = [value, f"[{value}]", f"{{{value}: {value}}}", f"'{value}'", ""]
    lines = GOOD.splitlines()
    for _ in range(count):
        index = chance.randrange(len(lines))
        key, colon, _rest = lines[index].partition(":")
        lines[index] = f"{key}{colon} {chance.choice(shapes)}"
    holds("\n".join(lines).encode(errors="replace"))
