"""Any Compose file becomes a pipeline.yaml or raises `ConfigError`, and never another exception."""

from __future__ import annotations

import copy
import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.base.errors import ConfigError
from pipeline.compose.left_out import READ, REASONS
from pipeline.compose.procfile import translate_procfile
from pipeline.compose.writer import pipeline_text
from pipeline.config.document import read_document
from tests.support.compose_examples import EXAMPLES
from tests.support.compose_imports import FILE, imported
from tests.support.sample import sampled

_LEAVES = st.one_of(
    st.sampled_from(
        [
            "",
            "a",
            "web",
            "db",
            "8000:80",
            "80/udp",
            "127.0.0.1:1:1",
            "${A}",
            "${B:-x}",
            "${SECRET_KEY?no}",
            "$$",
            "$",
            "./a:/b",
        ]
    ),
    st.sampled_from(
        ["data:/data:ro", "/a:/b", "no", "redis:7", "A=1", "PASSWORD=hidden", "1m30s", "512m", "CMD", "NONE", "all"]
    ),
    st.integers(-1, 10**12),
    st.floats(allow_nan=True),
    st.booleans(),
    st.none(),
    st.text(max_size=6),
)
_KEYS = st.one_of(st.sampled_from(sorted(READ | REASONS.keys())), st.text(min_size=1, max_size=4))
_VALUES = st.recursive(
    _LEAVES,
    lambda values: st.one_of(st.lists(values, max_size=3), st.dictionaries(_KEYS, values, max_size=3)),
    max_leaves=6,
)
_SERVICE = st.fixed_dictionaries(
    {"image": st.sampled_from(["shop", "postgres:16", "nginx"])}, optional={"build": _VALUES, "ports": _VALUES}
)
_SERVICES = st.dictionaries(
    st.sampled_from(["web", "db", "worker", "migrate", "nginx", "a_b", "a.b"]),
    st.one_of(st.builds(lambda own, other: {**own, **other}, _SERVICE, st.dictionaries(_KEYS, _VALUES, max_size=5))),
    max_size=5,
)


def check(text: str, **options: Any) -> None:
    """Translate a text, and read what is written: it must have the same content."""
    with suppress(ConfigError):
        for file in imported(text, **options).files:
            written = pipeline_text(file.content, "A test.")
            assert YAML(typ="safe").load(written) == file.content
            assert read_document(Path(FILE), written.encode()).data == _without_empty(file.content)


@settings(max_examples=sampled(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    _SERVICES,
    st.dictionaries(st.sampled_from(["volumes", "networks", "include", "name", "secrets"]), _VALUES, max_size=3),
)
def test_any_services(services: Any, sections: Any) -> None:
    """A file with any services is translated or refused."""
    check(json.dumps({"services": services, **sections}))


@settings(max_examples=sampled(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(EXAMPLES)), st.randoms(use_true_random=False), _VALUES)
def test_another_value_anywhere(name: str, chance: random.Random, value: Any) -> None:
    """An example with a drawn value in place of any other is translated or refused."""
    body: Any = copy.deepcopy(YAML(typ="safe").load(EXAMPLES[name]))
    parent, key = chance.choice(_places(body))
    parent[key] = value
    check(json.dumps(body), dotenv="A=1\nTOKEN=hidden\n")


@settings(max_examples=sampled(300), deadline=None)
@given(st.text(max_size=80), st.one_of(st.none(), st.text(max_size=40)))
def test_any_text(text: str, dotenv: str | None) -> None:
    """A Compose file, an environment file and a Procfile of any text are translated or refused."""
    check(text, dotenv=dotenv)
    check(f"services: {{web: {{image: a, command: {json.dumps(text)}}}}}")
    with suppress(ConfigError):
        translate_procfile(text, FILE, "shop")
    with suppress(ConfigError):
        translate_procfile(f"web: {text}", FILE, "shop")


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Return each place of a value: its parent, and its key or index."""
    found: list[tuple[Any, Any]] = []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        found += [(node, key), *_places(value)]
    return found


def _without_empty(value: Any) -> Any:
    """Return a value without the keys that have none, as our reader does."""
    if isinstance(value, dict):
        return {key: _without_empty(item) for key, item in value.items() if item is not None}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value
