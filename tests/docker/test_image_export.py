"""An image leaves Docker by a push to this process, and comes back by an archive."""

from __future__ import annotations

import os
import secrets
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.base.errors import Cancelled
from pipeline.engine.builder import BuildSpec
from pipeline.engine.hosts import local_engine
from pipeline.engine.image_export import ImageExport
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import image_tag
from tests.support.docker_home import cleaned
from tests.support.waiting import DEADLINE

pytestmark = pytest.mark.docker

_LAYER = 300_000


def build(engine: Engine, folder: Path, tag: str, files: int) -> str:
    """Build an image with a layer for each of the first files. Docker has not seen their content before."""
    for number in range(files):
        path = folder / str(number)
        if not path.exists():
            path.write_bytes(os.urandom(_LAYER))
    (folder / "Dockerfile").write_text("FROM scratch\n" + "".join(f"COPY {each} /\n" for each in range(files)))
    spec = BuildSpec(folder, "Dockerfile", tag)
    return engine.builder.build(spec, lambda _: None, threading.Event(), timedelta(seconds=DEADLINE))


def test_an_image_is_pushed_and_loaded(base_image: str, tmp_path: Path) -> None:
    """With its new layer alone, then with all of them. It keeps its id, and gets no name."""
    home, reasons, cancelled = secrets.token_hex(8), list[str](), threading.Event()
    below, tag = image_tag(home, "shop", "1"), image_tag(home, "shop", "2")
    with cleaned(home), local_engine(home) as engine:
        assert engine.is_on_this_machine
        images = engine.images
        small, image = build(engine, tmp_path, below, 1), build(engine, tmp_path, tag, 2)
        layers = images.layers(image)
        assert images.layers(small) == layers[:1]
        export = ImageExport(engine, tmp_path, cancelled, timedelta(seconds=DEADLINE), reasons.append)
        for skipped, there, parts in ((layers[:1], [tag], 1), ((), [below, tag], 2)):
            with export.archive(image, tag, skipped) as archive:
                # Random bytes do not become smaller.
                assert parts * _LAYER < archive.size_without(()) < parts * _LAYER + 20_000
                for name in there:
                    assert images.remove(images.id(name) or "")
                assert images.id(image) is None
                images.load(archive.without(()))
            assert (images.id(image), images.layers(image)) == (image, layers)
            assert images.registry_names(image) == ()
            # It has no name now, as one whose tag a later build has got. The next push must not remove it.
            assert not images.has_name(image)
        cancelled.set()
        with pytest.raises(Cancelled):
            export.archive(image, tag, ())
        assert images.id(image) == image
        assert images.registry_names(image) == ()
    assert reasons == []
