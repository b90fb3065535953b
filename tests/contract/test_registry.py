"""Contract of the part of `Images` that talks to registries, kept by every engine."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.builder import BuildSpec
from pipeline.engine.hosts import local_engine
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import TAGS
from pipeline.testing.fakes.engine import FakeEngine
from tests.support.docker_home import cleaned
from tests.support.ports import free_port
from tests.support.registry import Registry, registry


@dataclass
class Pushing:
    """An engine, a registry's address, and `deny`, after which the registry refuses the engine's user."""

    engine: Engine
    address: str
    folder: Path
    deny: Callable[[], object]

    def build(self, content: str) -> str:
        """Return the id of a small image, and a name for it in the registry."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "Dockerfile").write_text("FROM scratch\nCOPY content /\n")
        (self.folder / "content").write_text(content)
        spec = BuildSpec(self.folder, "Dockerfile", f"{TAGS}contract-{secrets.token_hex(4)}:1")
        return self.engine.builder.build(spec, lambda _: None, threading.Event(), timedelta(minutes=1))


def _login(found: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch, password: str | None = None) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(found.config(folder, password)))


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
def pushing(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pushing]:
    """An engine that is logged in at a registry."""
    if request.param == "fake":
        engine = FakeEngine()

        def deny() -> None:
            engine.faults.fail("images.push", EngineFault("unauthorized: authentication required"))
            engine.faults.fail("images.pull", EngineFault("unauthorized: authentication required"))

        yield Pushing(engine, "registry.example.com", tmp_path / "context", deny)
        return
    request.getfixturevalue("base_image")
    home = secrets.token_hex(8)
    with registry(tmp_path / "registry", "ann", "hunter2") as found:
        _login(found, tmp_path / "config", monkeypatch)
        with cleaned(home), local_engine(home) as docker:
            yield Pushing(
                docker,
                found.address,
                tmp_path / "context",
                lambda: setattr(found, "password", "another"),
            )


def test_a_pushed_image_is_pulled_by_its_digest(pushing: Pushing) -> None:
    """It is the same image. A name with a tag and a digest means the digest."""
    images = pushing.engine.images
    image = pushing.build(secrets.token_hex(8))
    name = f"{pushing.address}/shop:1"
    images.tag(image, name)
    digest = images.push(name)
    assert digest.startswith("sha256:")
    assert images.registry_names(image) == (f"{pushing.address}/shop@{digest}",)
    images.untag(name)
    assert images.registry_names(image) == ()
    for reference in (f"{pushing.address}/shop@{digest}", name):
        images.pull(reference)
        assert images.id(reference) == image
        assert images.registry_names(image) == (f"{pushing.address}/shop@{digest}",)
    for reference in (f"{pushing.address}/shop@{digest}", name):
        images.untag(reference)
    assert images.id(name) is None
    assert images.id(image) == image
    assert images.registry_names(name) == ()


def test_a_tag_that_moved_is_another_image_after_a_pull(pushing: Pushing) -> None:
    """Until then the name means the image that the engine has."""
    images = pushing.engine.images
    name = f"{pushing.address}/shop:latest"
    first, second = pushing.build(secrets.token_hex(8)), pushing.build(secrets.token_hex(8))
    images.tag(second, name)
    images.push(name)
    images.tag(first, name)
    assert images.id(name) == first
    images.pull(name)
    assert images.id(name) == second
    images.untag(name)


def test_a_registry_that_refuses_is_named(pushing: Pushing) -> None:
    """The error says that it is about the account."""
    image = pushing.build(secrets.token_hex(8))
    name = f"{pushing.address}/shop:1"
    pushing.engine.images.tag(image, name)
    pushing.deny()
    with pytest.raises(EngineFault, match=r"(?i)unauthorized|denied"):
        pushing.engine.images.push(name)
    with pytest.raises(EngineFault, match=r"(?i)unauthorized|denied"):
        pushing.engine.images.pull(name)
    pushing.engine.images.untag(name)


@pytest.mark.docker
def test_a_registry_that_cannot_be_reached(base_image: str, tmp_path: Path) -> None:
    """The error has its address."""
    home, name = secrets.token_hex(8), f"127.0.0.1:{free_port()}/shop:1"
    with cleaned(home), local_engine(home) as engine:
        image = Pushing(engine, "", tmp_path, bool).build(secrets.token_hex(8))
        engine.images.tag(image, name)
        with pytest.raises(EngineFault, match="connection refused"):
            engine.images.push(name)
        engine.images.untag(name)


def test_an_unknown_tag_is_removed_without_an_error(pushing: Pushing) -> None:
    """So a name can be taken back twice."""
    pushing.engine.images.untag(f"{pushing.address}/shop:gone")
