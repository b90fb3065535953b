"""The tags of images."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from pipeline.engine.labels import image_tag
from pipeline.testing.fakes.engine import FakeEngine

HOMES = ("0123456789ab", "ba9876543210")
NAMES = ("cas", "Cas", "CAS", "cAs", "cas-1", "Cas-1", "A", "a")
# Docker's grammar of a name with a tag.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(rf"{_PART}(/{_PART})*:\w[\w.-]{{0,127}}")


def test_no_two_pipelines_share_a_tag() -> None:
    """Names that differ only in case have tags of their own, and so do equal names in two homes."""
    tags = [image_tag(home, name, "0123456") for home in HOMES for name in NAMES]
    assert all(one != other for one, other in combinations(tags, 2))
    assert all(_REFERENCE.fullmatch(tag) for tag in tags)


@pytest.mark.parametrize("former", ["penstock/shop:0123456", "penstock/cas:0123456"])
def test_an_image_with_a_tag_of_an_earlier_version_is_removed(former: str) -> None:
    """The image gets the new tag when it is reused, and is removed with both."""
    images = FakeEngine().images
    image = images.add_built(b"", former, {})
    images.tag(image, image_tag(HOMES[0], "shop", "0123456"))
    assert images.remove(image)
    assert images.id(image) is images.id(former) is None
