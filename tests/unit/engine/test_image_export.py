"""The export of an image by a push to a receiver, with the requests that Docker makes."""

from __future__ import annotations

import gzip
import io
import json
import socket
import tarfile
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import EngineFault
from pipeline.engine.image_archive import ImageArchive
from pipeline.engine.image_export import ImageExport
from pipeline.engine.interfaces import RegistryLogin
from pipeline.engine.push_receiver import PushReceiver
from tests.support.pushing_engine import PushingEngine, PushingImages, digest_of
from tests.support.waiting import DEADLINE

TAG = "penstock/home/shop:2"
BASE, MIDDLE, NEW = b"base" * 100, b"middle", b"new"


class World:
    """An engine with an image of three layers, which it has pushed before except for the last one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = PushingImages((BASE, MIDDLE, NEW), known=(BASE, MIDDLE))
        self.reasons: list[str] = []

    def export(self, skipped: Collection[bytes]) -> ImageArchive:
        """Export it without these layers."""
        export = ImageExport(
            PushingEngine(self.images),  # type: ignore[arg-type]
            self.folder,
            threading.Event(),
            timedelta(seconds=DEADLINE),
            self.reasons.append,
        )
        return export.archive(self.images.image, TAG, set(map(digest_of, skipped)))

    def files(self, skipped: Collection[bytes]) -> dict[str, bytes]:
        """Return the files in the archive."""
        with self.export(skipped) as archive:
            content = io.BytesIO(b"".join(archive.without(())))
        with tarfile.open(fileobj=content) as tar:
            found = {member.name: tar.extractfile(member) for member in tar}
        return {name: file.read() for name, file in found.items() if file is not None}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An image. No file and no tag is left."""
    world = World(tmp_path)
    yield world
    assert world.images.tags == ["penstock/home/shop:1"]
    assert list(tmp_path.iterdir()) == []


def path_of(layer: bytes) -> str:
    return f"{digest_of(layer)[7:]}/layer.tar"


def test_only_new_layers_are_pushed(world: World) -> None:
    """The archive has the configuration, all names of layers, and the new layer as it was uploaded."""
    files = world.files((BASE, MIDDLE))
    assert world.images.uploaded == [(NEW,)]
    config = f"{world.images.image[7:]}.json"
    assert files.keys() == {"manifest.json", config, path_of(NEW)}
    assert files[config] == world.images.config
    assert gzip.decompress(files[path_of(NEW)]) == NEW
    layers = [path_of(layer) for layer in (BASE, MIDDLE, NEW)]
    assert json.loads(files["manifest.json"]) == [{"Config": config, "RepoTags": None, "Layers": layers}]
    assert world.reasons == []


def test_layers_that_the_engine_would_not_send_are_asked_for(world: World) -> None:
    """It knows them from another registry, and the hosts lack them. A second push sends these alone."""
    files = world.files(())
    assert world.images.uploaded == [(NEW,), (BASE, MIDDLE)]
    assert {gzip.decompress(files[path_of(layer)]) for layer in (BASE, MIDDLE, NEW)} == {BASE, MIDDLE, NEW}


def test_a_layer_that_nobody_needs_is_left_out(world: World) -> None:
    """Also if the engine has uploaded it, because it knew no digest of it."""
    world.images.known.clear()
    files = world.files((BASE,))
    assert world.images.uploaded == [(BASE, MIDDLE, NEW)]
    assert path_of(BASE) not in files
    assert path_of(MIDDLE) in files


def test_a_layer_that_occurs_twice(world: World) -> None:
    """It is uploaded once and named twice."""
    world.images = PushingImages((BASE, NEW, BASE))
    files = world.files(())
    assert json.loads(files["manifest.json"])[0]["Layers"] == [path_of(layer) for layer in (BASE, NEW, BASE)]
    assert len(files) == 4


def test_the_repository_stays_the_same(world: World) -> None:
    """So an engine finds again what it knows of small layers."""
    for _ in range(2):
        world.export((BASE, MIDDLE)).close()
    (name,) = set(world.images.names)
    assert name.startswith("127.0.0.1:")
    assert name.endswith(f"/{TAG}")
    # The second time it knows the new layer too.
    assert world.images.uploaded == [(NEW,), (), (NEW,)]


def test_an_image_without_a_name_gets_one(world: World) -> None:
    """It would be removed with the name of the push."""
    world.images.tags.clear()
    world.export((BASE, MIDDLE)).close()
    assert world.images.tags == [TAG]
    world.images.tags[:] = ["penstock/home/shop:1"]


def test_a_port_in_use(world: World) -> None:
    """Another one is used."""
    world.export((BASE, MIDDLE)).close()
    port = int(world.images.names[0].partition("/")[0].rpartition(":")[2])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        world.export((BASE, MIDDLE)).close()
    assert len(set(world.images.names)) == 2
    assert world.reasons == []


@pytest.mark.parametrize(
    ("manifest", "refuses", "reason"),
    [
        (None, "connection refused", "connection refused"),
        ({"config": {"digest": "sha256:other"}, "layers": []}, "", "images in another form"),
        ({"manifests": []}, "", "images in another form"),
        ("text", "", "images in another form"),
    ],
)
def test_an_engine_that_cannot_push(world: World, manifest: Any, refuses: str, reason: str) -> None:
    """It saves the image, and the reason is reported."""
    world.images.sent_manifest, world.images.refuses = manifest, refuses
    # What it saves is no archive here.
    with pytest.raises(EngineFault, match="incomplete image"):
        world.export((BASE,))
    assert reason in world.reasons[0]


def test_a_stranger_is_refused(world: World) -> None:
    """Without the login, nothing is received."""
    world.images.login = RegistryLogin("penstock", "guess")
    with pytest.raises(EngineFault, match="incomplete image"):
        world.export((BASE, MIDDLE))
    assert world.reasons == ["the image is saved as a whole: unauthorized: authentication required"]


@pytest.mark.parametrize("header", ["", "Basic", "Basic !", "Bearer eA==", "Basic eDp5"])
def test_invalid_credentials(tmp_path: Path, header: str) -> None:
    """They are refused in any form."""
    with PushReceiver(tmp_path, "shop", ()) as receiver:
        assert not receiver.allows(header)


def test_an_upload_with_another_content(tmp_path: Path) -> None:
    """It is refused, and the blob still lacks."""
    wanted = digest_of(b"wanted")
    with ExitStack() as stack:
        receiver = stack.enter_context(PushReceiver(tmp_path, "shop", {wanted}))
        upload = receiver.begin()
        receiver.append(upload, iter([b"other"]))
        assert not receiver.complete(upload, wanted)
        assert not receiver.claims(wanted)
        assert receiver.append(upload, iter([b"more"])) is None
