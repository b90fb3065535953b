"""Access keys in the home."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from pipeline.aws.keys import AccessKeys
from pipeline.base.errors import ConfigError, StoreFault
from pipeline.base.schema import Name
from tests.support.full_disk import fill


@pytest.fixture
def keys(tmp_path: Path) -> AccessKeys:
    """The keys of a new home."""
    return AccessKeys(tmp_path / "aws")


def test_create(keys: AccessKeys, tmp_path: Path) -> None:
    """A key is found by its id, from a file that only its owner can read."""
    assert keys.all() == ()
    made = keys.create("shop")
    assert keys.find(made.id) == made
    assert (len(made.id), made.id[:4], len(made.secret), made.owner) == (20, "AKIA", 40, "shop")
    assert (tmp_path / "aws" / "keys.json").stat().st_mode & 0o777 == 0o600
    assert made.secret not in repr(made)


def test_delete(keys: AccessKeys) -> None:
    """A deleted key is unknown, and another one stays."""
    first, second = keys.create("shop"), keys.create("shop")
    keys.delete(first.id)
    assert keys.all() == (second,)
    with pytest.raises(ConfigError, match=f"there is no access key {first.id}"):
        keys.delete(first.id)


@pytest.mark.parametrize("owner", ["a", "Shop-2", "a" * 32])
def test_pipeline_as_owner(keys: AccessKeys, owner: str) -> None:
    """Each name that a pipeline can have is a valid owner."""
    TypeAdapter(Name).validate_python(owner)
    assert keys.create(owner).owner == owner


@pytest.mark.parametrize("owner", ["", "-a", "a.b", "a b", "a" * 33, "a\n"])
def test_owner(keys: AccessKeys, owner: str) -> None:
    """A name that no pipeline can have is no owner."""
    with pytest.raises(ConfigError, match="is not a valid owner"):
        keys.create(owner)
    assert keys.all() == ()


@pytest.mark.parametrize(
    ("content", "words"), [("{", "cannot read"), (json.dumps({"version": 2}), "another version of Penstock")]
)
def test_unreadable(keys: AccessKeys, tmp_path: Path, content: str, words: str) -> None:
    """A damaged file, or one of a later version, is refused and kept."""
    keys.create("shop")
    file = tmp_path / "aws" / "keys.json"
    file.write_text(content)
    with pytest.raises(StoreFault, match=words):
        keys.create("shop")
    assert file.read_text() == content


def test_full_disk(small_disk: Path) -> None:
    """A key that cannot be stored is not made, and the others stay."""
    keys = AccessKeys(small_disk / "aws")
    made = keys.create("shop")
    fill(small_disk)
    with pytest.raises(StoreFault, match="cannot write"):
        keys.create("shop")
    assert keys.all() == (made,)
