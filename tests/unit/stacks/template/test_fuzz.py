"""Any text is a template or raises `TemplateError`, and never another exception."""

from __future__ import annotations

import copy
import json
import random
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.stacks.template import Template, TemplateError
from pipeline.stacks.template.functions import COMPILERS
from tests.support.sample import sampled
from tests.unit.stacks.template.good import GOOD, attributes, evaluated, unknown

_WORDS = sorted({word for word in GOOD.replace(":", " ").replace("{", " ").replace("}", " ").split() if word})
_PIECES = st.one_of(
    st.sampled_from(_WORDS),
    st.sampled_from(
        ["[", "]", "{", "}", ": ", "- ", "|", ">", "'", '"', "#", "---", "\t", "\n", "&a", "*a", "<<", "~"]
    ),
    st.sampled_from(["!!binary", "!!set", "!Sub", "!GetAtt", "!If", "0x1F", "1e9", ".inf", "12:30", "y", "${", "::"]),
    st.text(max_size=8),
)
_FUNCTIONS = st.sampled_from(
    [*COMPILERS, "Fn::ForEach::X", "Fn::Transform", "Fn::Other", "DefaultValue", "Name", "Value"]
)
_LEAVES = st.one_of(
    st.sampled_from(
        ["IsProd", "Web", "Port", "Subnets", "Sizes", "test", "Count", "AWS::Region", "AWS::NoValue", "net:Vpc"]
    ),
    st.sampled_from(["${Web.Arn}", "${Port}", "${!x}", "10.0.0.0/16", "", "Web.Arn", "{{resolve:ssm:a}}"]),
    st.integers(-2, 300),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)
_NODES = st.recursive(
    _LEAVES,
    lambda nodes: st.one_of(
        st.lists(nodes, max_size=4),
        st.dictionaries(_FUNCTIONS, nodes, min_size=1, max_size=1),
        st.dictionaries(st.one_of(_FUNCTIONS, st.text(max_size=3)), nodes, max_size=3),
    ),
    max_leaves=12,
)

_BODY: Any = Template.parse(GOOD).body


def holds(text: str) -> None:
    """Everything that can be done with the template succeeds or raises `TemplateError`."""
    with suppress(TemplateError):
        found = evaluated(text)
        for name in found.order:
            found.references(name)
            found.unresolved(name, unknown)
            json.dumps(found.resolve(name, unknown))
            found.resolve(name, attributes)
        found.outputs(attributes)


@settings(max_examples=sampled(100), deadline=None)
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    """Any text is a template or raises `TemplateError`."""
    holds(text)
    holds("{" + text)


@settings(max_examples=sampled(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 30), _PIECES), min_size=1, max_size=4))
def test_a_good_template_with_anything_written_over_it(edits: list[tuple[int, int, str]]) -> None:
    """A good template with drawn text at a drawn position is one, or raises `TemplateError`."""
    text = GOOD
    for start, length, new in edits:
        text = text[:start] + new + text[start + length :]
    holds(text)


@settings(max_examples=sampled(500), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), _NODES, st.booleans())
def test_a_good_template_with_another_value_anywhere(chance: random.Random, node: Any, extended: bool) -> None:
    """A template with a drawn value, functions included, in place of any other is one, or raises `TemplateError`."""
    body = copy.deepcopy(_BODY)
    if extended:
        body["Transform"] = "AWS::LanguageExtensions"
    parent, key = chance.choice(list(_places(body)))
    parent[key] = node
    holds(json.dumps(body))


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Return each place of a value: its parent, and its key or index."""
    found: list[tuple[Any, Any]] = []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        found += [(node, key), *_places(value)]
    return found
