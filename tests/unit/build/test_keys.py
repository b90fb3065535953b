"""The keys under which an image is known."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config.models import Build
from stages.build.dockerfile import Inputs
from stages.build.keys import Keys, keys_of

TEST = {"command": ["true"], "services": {"db": {"image": "postgres:16"}}}


def keys(
    changes: dict[str, Any] | None = None,
    tree: str = "t",
    files: str = "f",
    inputs: Inputs = Inputs(("base",)),  # noqa: B008  # a frozen value
    secrets: dict[str, str] | None = None,
    **images: str | None,
) -> Keys:
    config = Build.model_validate({"test": TEST, **(changes or {})})
    known = {"base": "1", "postgres:16": "2", **images}
    chosen = {"token": "a"} if secrets is None else secrets
    return keys_of(config, tree, files, inputs, chosen, lambda name, *_: known[name])


@pytest.mark.parametrize(
    "changed",
    [
        keys({"dockerfile": "Other"}),
        keys({"args": {"A": "b"}}),
        keys({"target": "one"}),
        keys({"platforms": ["linux/arm64"]}),
        keys(tree="u"),
        keys(files="g"),
        keys(inputs=Inputs(("base", "lib")), lib="3"),
        keys(base="4"),
        keys(secrets={"token": "b"}),
        keys(secrets={}),
    ],
)
def test_every_input_changes_both_keys(changed: Keys) -> None:
    """The image is built and tested again."""
    assert changed.built not in (None, keys().built)
    assert changed.tested not in (None, keys().tested)


@pytest.mark.parametrize(
    "changed", [keys(**{"postgres:16": "5"}), keys({"test": {**TEST, "command": ["false"]}}), keys({"test": None})]
)
def test_what_only_the_tests_need_changes_one(changed: Keys) -> None:
    """The image is tested again."""
    assert changed.built == keys().built
    assert changed.tested != keys().tested


@pytest.mark.parametrize(
    "same", [keys({"timeout": "1m"}), keys({"cache_from": ["a"]}), keys({"test": {**TEST, "retry": {"failure": 2}}})]
)
def test_what_does_not_change_the_image(same: Keys) -> None:
    """It is reused."""
    assert same == keys()


def test_what_may_change_without_notice_is_not_reused() -> None:
    """There is no key for it, and none while an image is missing."""
    assert keys(inputs=Inputs(("base",), ("https://example.org/a",))) == Keys(None, None)
    assert keys(base=None) == Keys(None, None)
    assert keys(**{"postgres:16": None}) == Keys(keys().built, None)
