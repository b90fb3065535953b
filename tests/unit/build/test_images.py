"""Requests to the engine about images, and its responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.images import DockerImages


class Registry:
    """Docker's client, as far as images are concerned."""

    def __init__(self, config: dict[str, Any] | None = None, *messages: dict[str, str]) -> None:
        self.pulled: list[tuple[str, str]] = []
        self._config, self._messages = config or {}, messages

    def pull(self, name: str, *, tag: str, **_: Any) -> Iterator[dict[str, str]]:
        """The lines that it prints about a pull."""
        self.pulled.append((name, tag))
        return iter(self._messages)

    def inspect_image(self, _: str) -> dict[str, Any]:
        """One image."""
        return {"Config": self._config}


@pytest.mark.parametrize(
    ("reference", "asked"),
    [
        ("postgres", ("postgres", "latest")),
        ("postgres:16", ("postgres", "16")),
        ("localhost:5000/shop/db", ("localhost:5000/shop/db", "latest")),
        ("localhost:5000/shop/db:2", ("localhost:5000/shop/db", "2")),
        ("postgres@sha256:0123", ("postgres", "sha256:0123")),
    ],
)
def test_an_image_is_pulled_by_its_whole_name(reference: str, asked: tuple[str, str]) -> None:
    """Without a tag it is the latest, never all of them."""
    registry = Registry()
    DockerImages(registry, "home").pull(reference)
    assert registry.pulled == [asked]


def test_a_pull_that_fails_half_way() -> None:
    """The registry's own words."""
    with pytest.raises(EngineFault, match="no basic auth"):
        DockerImages(Registry(None, {"status": "Pulling"}, {"error": "no basic auth credentials"}), "home").pull(
            "postgres"
        )


@pytest.mark.parametrize(
    ("config", "command"),
    [
        ({}, None),
        ({"Healthcheck": None}, None),
        ({"Healthcheck": {"Test": ["NONE"]}}, None),
        ({"Healthcheck": {"Test": []}}, None),
        ({"Healthcheck": {"Test": ["CMD", "pg_isready", "-q"]}}, ("pg_isready", "-q")),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "pg_isready || exit 1"]}}, ("/bin/sh", "-c", "pg_isready || exit 1")),
    ],
)
def test_the_command_of_a_healthcheck(config: dict[str, Any], command: tuple[str, ...] | None) -> None:
    """As it is written in the Dockerfile, in either form."""
    assert DockerImages(Registry(config), "home").healthcheck("db") == command
