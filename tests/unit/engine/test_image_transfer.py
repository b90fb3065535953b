"""The transfer of images between fake engines."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import Cancelled, EngineFault, LayerMissing
from pipeline.engine.image_archive import ImageArchive
from pipeline.engine.image_transfer import ImageTransfer, TransferProgress, spared_layers
from pipeline.testing.fakes.engine import FakeEngine
from tests.support.waiting import DEADLINE, until

LABELS = {"penstock.pipeline": "shop"}
TAG = "penstock/home/shop:2"


class Listing:
    """The images of an engine, by their layers."""

    def __init__(self, *images: Sequence[str]) -> None:
        self._images = {f"image-{number}": tuple(layers) for number, layers in enumerate(images)}

    def ids(self) -> set[str]:
        """Return all."""
        return set(self._images)

    def layers(self, image: str) -> tuple[str, ...]:
        """Return the layers of one."""
        return self._images[image]


class World:
    """An engine with two images that share a layer, three others, and a transfer between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = FakeEngine()
        self.targets = {name: FakeEngine() for name in ("one", "two", "three")}
        self.old = self.source.images.add_built(b"old" * 10_000, "penstock/home/shop:1", LABELS)
        self.new = self.source.images.add_built(b"new" * 100, TAG, LABELS)
        self.progress: list[TransferProgress] = []
        self.cancelled = threading.Event()
        self.reasons: list[str] = []
        self.transfer = ImageTransfer(
            self.source, folder, self.progress.append, self.cancelled, timedelta(seconds=DEADLINE), self.reasons.append
        )

    def send(self, image: str, tag: str = TAG) -> dict[str, int]:
        """Send an image to all."""
        return self.transfer.send(image, tag, self.targets)

    def saves(self) -> int:
        """Return how often the source has saved an image."""
        return self.source.faults.calls["images.save"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Engines. No file is left."""
    yield World(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_image_is_saved_once_and_sent_to_all(world: World) -> None:
    """Each engine has it with its tag. The bytes and the progress agree."""
    sent = world.send(world.new)
    assert world.saves() == 1
    assert {engine.images.id(TAG) for engine in world.targets.values()} == {world.new}
    assert {host: size for host, done, size in world.progress if done == size} == sent
    assert min(sent.values()) > 300


def test_a_second_image_is_sent_without_the_layers_that_are_there(world: World) -> None:
    """And a host that lacks the first one gets all layers, of the same save."""
    world.targets["two"].images.registry.add("unused")
    first = world.transfer.send(world.old, "penstock/home/shop:1", {"one": world.targets["one"]})
    second = world.send(world.new)
    assert first["one"] > 30_000
    # The base layer is one block of its name and one of its content.
    assert second["one"] == second["two"] - 1024 == second["three"] - 1024
    assert {engine.images.id(TAG) for engine in world.targets.values()} == {world.new}


def test_a_host_that_has_the_image_is_sent_nothing(world: World) -> None:
    """It gets the tag, also if that was on another image."""
    world.send(world.new)
    world.send(world.old, "penstock/home/shop:1")
    assert world.send(world.old) == dict.fromkeys(world.targets, 0)
    assert {engine.images.id(TAG) for engine in world.targets.values()} == {world.old}
    assert world.saves() == 2


def test_a_layer_that_vanishes_is_sent_after_all(world: World) -> None:
    """The engine refuses the thin archive, and gets the whole image then."""
    world.send(world.old)
    world.targets["two"].faults.fail("images.load", LayerMissing("layer is missing"))
    sent = world.send(world.new)
    assert sent["two"] == sent["one"] + 1024
    assert world.saves() == 3
    assert {engine.images.id(TAG) for engine in world.targets.values()} == {world.new}


def test_a_host_that_fails_does_not_stop_the_others(world: World) -> None:
    """The error names it. It has neither image nor tag, and a second attempt sends to it alone."""
    world.targets["two"].faults.fail("images.load", EngineFault("no space left", hint="free disk space"))
    with pytest.raises(EngineFault, match=r"^host two: no space left\nfree disk space$"):
        world.send(world.new)
    assert [name for name, engine in world.targets.items() if engine.images.id(world.new)] == ["one", "three"]
    assert world.send(world.new).keys() == world.targets.keys()
    assert {engine.images.id(TAG) for engine in world.targets.values()} == {world.new}


@pytest.mark.parametrize(("place", "call"), [("source", "images.save"), ("two", "images.load")])
def test_a_transfer_is_cancelled(world: World, place: str, call: str) -> None:
    """While an engine is silent."""
    faults = world.source.faults if place == "source" else world.targets[place].faults
    hang = faults.hang(call)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(world.send, world.new)
        hang.wait_until_called()
        world.cancelled.set()
        with pytest.raises(Cancelled):
            sending.result(DEADLINE)
    if place == "two":
        assert world.targets["two"].images.ids() == set()


def test_an_engine_that_is_silent_is_given_up(world: World) -> None:
    """After the timeout, with its name."""
    world.targets["two"].faults.hang("images.load")
    transfer = replace(world.transfer, timeout=timedelta(seconds=0.2))
    with pytest.raises(EngineFault, match=r"^host two: the image did not arrive within 0:00:00\.2"):
        transfer.send(world.new, TAG, world.targets)
    until(lambda: not world.targets["two"].faults.away, "the end of the call")


def test_an_image_that_the_engine_changes(world: World) -> None:
    """Its id is compared with the one that was sent."""
    world.targets["one"].images.load = lambda archive: [*archive].clear()  # type: ignore[method-assign]
    world.targets["one"].images.over = lambda _: world.targets["one"].images  # type: ignore[method-assign]
    with pytest.raises(EngineFault, match=r"^host one: the engine gave the image another id\n"):
        world.send(world.new)


def test_a_saved_image_that_is_cut_off(world: World) -> None:
    """It is an error of the engine, and nothing is sent."""
    whole = b"".join(world.source.images.save(world.new))
    for end in (0, 100, 700, 2000):
        with pytest.raises(EngineFault, match="the engine sent an incomplete image: "):
            ImageArchive.read(iter([whole[:end]]), (), world.folder)


@pytest.mark.parametrize(
    ("images", "spared"),
    [
        ([], ""),
        (["abcd"], "abc"),
        (["abc"], "abc"),
        (["a", "ab"], "ab"),
        # A layer on other layers is another one.
        (["bc", "xbc"], ""),
    ],
)
def test_an_engine_has_layers_only_on_the_same_layers(images: list[str], spared: str) -> None:
    """So only the first ones are spared."""
    assert spared_layers(("a", "b", "c"), Listing(*images)) == set(spared)  # type: ignore[arg-type]


def test_a_layer_that_occurs_twice() -> None:
    """It is sent if the engine lacks one of them."""
    assert spared_layers(("a", "b", "a"), Listing("ab")) == {"b"}  # type: ignore[arg-type]
    assert spared_layers(("a", "b", "a"), Listing("aba")) == {"a", "b"}  # type: ignore[arg-type]


NAME = "registry.example.com/shop:2"


def _in_registry(world: World) -> str:
    """Push the new image to a registry that all engines use, and return its name there."""
    images = world.source.images
    images.tag(world.new, NAME)
    digest = images.push(NAME)
    name = f"registry.example.com/shop@{digest}"
    for engine in world.targets.values():
        engine.images.share_registry(images)
    return name


def test_an_image_in_a_registry_is_pulled(world: World) -> None:
    """Each host pulls it by its digest, and nothing is sent. The source knows its name."""
    name = _in_registry(world)
    assert world.source.images.registry_names(world.new) == (name,)
    assert world.send(world.new) == dict.fromkeys(world.targets, 0)
    assert world.saves() == 0
    assert {engine.images.id(TAG) for engine in world.targets.values()} == {world.new}
    assert world.reasons == []


def test_a_host_that_cannot_pull_is_sent_the_image(world: World) -> None:
    """The reason is reported. A name that the build has pushed counts, although the source has it no more."""
    name = _in_registry(world)
    world.source.images.untag(NAME)
    assert world.source.images.registry_names(world.new) == ()
    world.targets["two"].faults.fail("images.pull", EngineFault("no route to host"))
    sent = world.transfer.send(world.new, TAG, world.targets, [name])
    assert [host for host, size in sent.items() if size] == ["two"]
    assert world.reasons == [f"host two cannot pull {name}: no route to host"]
    assert {engine.images.id(TAG) for engine in world.targets.values()} == {world.new}


def test_a_registry_that_has_another_image(world: World) -> None:
    """A digest that gives another id is reported, and the image is sent."""
    for engine in world.targets.values():
        engine.images.registry.add("example.com/other@sha256:ab")
    sent = world.transfer.send(world.new, TAG, {"one": world.targets["one"]}, ["example.com/other@sha256:ab"])
    assert sent["one"] > 0
    assert world.reasons == ["host one pulled another image as example.com/other@sha256:ab"]


def test_a_pull_is_cancelled(world: World) -> None:
    """While the registry is silent."""
    name = _in_registry(world)
    hang = world.targets["two"].faults.hang("images.pull")
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(world.transfer.send, world.new, TAG, world.targets, [name])
        hang.wait_until_called()
        world.cancelled.set()
        with pytest.raises(Cancelled):
            sending.result(DEADLINE)
    assert world.targets["two"].images.id(TAG) is None


def test_a_host_that_does_not_say_what_it_has_is_named(world: World) -> None:
    """Nothing is sent to any."""
    world.targets["two"].faults.fail("images.ids", EngineFault("Docker did not respond"))
    with pytest.raises(EngineFault, match=r"^host two: Docker did not respond$"):
        world.send(world.new)
    assert world.saves() == 0
