"""The names of images in registries."""

from __future__ import annotations

import pytest

from pipeline.engine.registry_names import name_with_digest, service_reference, usable_elsewhere


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("example.com/shop:1", "example.com/shop@sha256:ab"),
        ("example.com:5000/team/shop:main", "example.com:5000/team/shop@sha256:ab"),
        ("example.com:5000/shop", "example.com:5000/shop@sha256:ab"),
        ("shop", "shop@sha256:ab"),
    ],
)
def test_a_name_gets_the_digest(name: str, expected: str) -> None:
    """In place of its tag. The port of a registry stays."""
    assert name_with_digest(name, "sha256:ab") == expected


@pytest.mark.parametrize("registry", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000"])
def test_a_registry_on_loopback_is_no_use_elsewhere(registry: str) -> None:
    """The same name means another registry there, or none."""
    names = (f"{registry}/shop@sha256:ab", "example.com/shop@sha256:ab", "example.com/shop@sha256:ab")
    assert usable_elsewhere(names) == ("example.com/shop@sha256:ab",)


def test_a_service_names_the_digest_or_the_id() -> None:
    """A node pulls by the digest. By the id it must have the image."""
    assert service_reference("sha256:id", ["127.0.0.1:5000/a@sha256:1", "b/c@sha256:2"]) == "b/c@sha256:2"
    assert service_reference("sha256:id", ["127.0.0.1:5000/a@sha256:1"]) == "sha256:id"
