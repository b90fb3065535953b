"""Any template becomes a pipeline.yaml or raises `ConfigError`, and never another exception."""

from __future__ import annotations

import copy
import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.base.errors import ConfigError
from pipeline.stacks.codepipeline.translation import translate
from pipeline.stacks.template import Template
from tests.support.sample import sampled
from tests.unit.stacks.codepipeline.examples import CONNECTION, GITHUB

_LEAVES = st.one_of(
    st.sampled_from(
        ["", "a", "<Service>", "Service", "8080", "0.5 vCPU", "1GB", "-1", "docker build", "docker run a b"]
    ),
    st.integers(-1, 10**12),
    st.booleans(),
    st.text(max_size=4),
)
_VALUES = st.recursive(
    _LEAVES,
    lambda values: st.one_of(st.lists(values, max_size=3), st.dictionaries(st.text(max_size=3), values, max_size=2)),
    max_leaves=5,
)
_COMMANDS = st.lists(
    st.sampled_from(
        ["docker", "build", "run", "-t", "-f", "--build-arg", "A=$B", "A=1", "cd", "..", ".", "&&", ";", "'", '"']
    ),
    max_size=8,
)


@pytest.mark.parametrize("text", [GITHUB, CONNECTION], ids=["github", "connection"])
@settings(max_examples=sampled(50), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chance=st.randoms(use_true_random=False), value=_VALUES)
def test_another_value_anywhere(text: str, chance: random.Random, value: Any) -> None:
    """A template with a drawn value in place of any other is translated or refused."""
    body: Any = copy.deepcopy(Template.parse(text).body)
    parent, key = chance.choice(_places(body))
    parent[key] = value
    with suppress(ConfigError):
        translate({"t.json": json.dumps(body)}, parameters={})


@settings(max_examples=sampled(80), deadline=None)
@given(_COMMANDS, st.text(max_size=10))
def test_any_command(words: list[str], text: str) -> None:
    """A buildspec with any command is translated or refused."""
    commands = json.dumps([" ".join(words), text], ensure_ascii=True)
    with suppress(ConfigError):
        translate({"t.yaml": CONNECTION}, parameters={}, buildspec=f"phases: {{build: {{commands: {commands}}}}}")


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Return each place of a value: its parent, and its key or index."""
    found: list[tuple[Any, Any]] = []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        found += [(node, key), *_places(value)]
    return found
