"""The example of a stage: a builder that takes the image which another system has built for the commit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO

import pytest

from pipeline.api import Builder, Image, Revision, StageContext
from pipeline.base.errors import Cancelled, ConfigError, StageFailed
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.engine import hosts
from pipeline.engine.labels import image_tag
from pipeline.runner.context import PipelineContext
from pipeline.runner.stages import load_builder
from pipeline.store.queue import RunRequest
from pipeline.store.records import Trigger
from pipeline.store.store import Store
from pipeline.testing.fakes.engine import FakeEngine
from tests.support.examples import install_example
from tests.support.pipeline_yaml import MINIMAL
from tests.support.waiting import DEADLINE

SHA = "0123456789abcdef0123456789abcdef01234567"
NAME = f"registry.example.com/shop:{SHA}"


@dataclass
class Commit:
    """A commit whose files the builder does not read."""

    revision: Revision

    def tree(self, path: str) -> str:
        raise AssertionError(path)

    def archive(self, path: str) -> AbstractContextManager[IO[bytes]]:
        return nullcontext(BytesIO())

    def read(self, path: str) -> bytes | None:
        raise AssertionError(path)


COMMIT = Commit(Revision(SHA, "main", "Ann", "Say hello", datetime(2030, 1, 1, tzinfo=UTC), "here"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed with pip into a folder."""
    return install_example("prebuilt_image", tmp_path_factory.mktemp("installed"))


@pytest.fixture(autouse=True)
def installed(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the example on the path of this test."""
    monkeypatch.syspath_prepend(package)
    monkeypatch.delitem(sys.modules, "prebuilt_image", raising=False)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine without images."""
    made = FakeEngine()
    monkeypatch.setattr(hosts, "local_engine", lambda _: made)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "penstock.db") as opened:
        yield opened


class Stage:
    """The builder that `uses: prebuilt` gives, and one run of the pipeline."""

    def __init__(self, folder: Path, store: Store, options: str) -> None:
        file = folder / "pipeline.yaml"
        file.write_text(f"{MINIMAL}build: {{uses: prebuilt, with: {options}}}\n")
        home = Home.locate({"PENSTOCK_HOME": str(folder / "home")})
        run = store.queue.begin("shop", RunRequest(Trigger.COMMAND), "superseded")
        assert run is not None
        context = PipelineContext(home, load(file), store)
        self.context: StageContext = context.stage_context(run=run.number)
        self.builder: Builder = load_builder(context.configuration)

    def build(self) -> Image:
        return self.builder.build(self.context, COMMIT)


def test_an_image_of_the_engine_is_taken(engine: FakeEngine, store: Store, tmp_path: Path) -> None:
    """The image of the commit gets the pipeline's tag and labels, and is pinned for the run. Nothing is pulled."""
    engine.images.add(NAME)
    stage = Stage(tmp_path, store, "{image: 'registry.example.com/shop:{sha}'}")
    image = stage.build()
    assert image.tag == image_tag(stage.context.home.id, "shop", "0123456")
    assert engine.images.id(image.tag) == image.id
    assert engine.images.for_pipeline("shop") == {image.id: "1"}
    assert store.images.pinned("shop") == {image.id}


def test_a_missing_image_is_pulled(engine: FakeEngine, store: Store, tmp_path: Path) -> None:
    """An image that only the registry has is pulled, by the short id of the commit too."""
    engine.images.registry.add("registry.example.com/shop:0123456")
    stage = Stage(tmp_path, store, "{image: 'registry.example.com/shop:{short_sha}'}")
    stage.build()
    assert engine.images.has("registry.example.com/shop:0123456")


def test_an_image_that_nobody_has_fails_the_run(engine: FakeEngine, store: Store, tmp_path: Path) -> None:
    """The error names the image, and the hint says what to check."""
    with pytest.raises(StageFailed, match=f"there is no image {NAME} for this commit") as caught:
        Stage(tmp_path, store, "{image: 'registry.example.com/shop:{sha}'}").build()
    assert caught.value.hint == "wait until the other system has pushed it, and check build.with.image"
    assert store.images.pinned("shop") == set()


def test_always_pulls_a_present_image(engine: FakeEngine, store: Store, tmp_path: Path) -> None:
    """With `pull: always`, the registry is asked although the engine has an image of that name."""
    engine.images.add("registry.example.com/shop:stable")
    stage = Stage(tmp_path, store, "{image: 'registry.example.com/shop:stable', pull: always}")
    with pytest.raises(StageFailed, match="there is no image"):
        stage.build()
    engine.images.registry.add("registry.example.com/shop:stable")
    assert stage.build().tag == image_tag(stage.context.home.id, "shop", "0123456")


def test_cancelling_ends_a_pull(engine: FakeEngine, store: Store, tmp_path: Path) -> None:
    """A pull from a silent registry ends when the run is cancelled."""
    hang = engine.faults.hang("images.pull")
    stage = Stage(tmp_path, store, "{image: 'registry.example.com/shop:{sha}'}")
    with ThreadPoolExecutor(1) as pool:
        built = pool.submit(stage.build)
        hang.wait_until_called()
        stage.context.cancelled.set()
        with pytest.raises(Cancelled):
            built.result(DEADLINE)


def test_the_plan_changes_nothing(engine: FakeEngine, store: Store, tmp_path: Path) -> None:
    """The plan names the image and says whether it would be pulled."""
    engine.images.registry.add(NAME)
    stage = Stage(tmp_path, store, "{image: 'registry.example.com/shop:{sha}'}")
    assert stage.builder.plan(stage.context, COMMIT).steps == [f"pull the image {NAME}"]
    assert not engine.images.has(NAME)
    engine.images.add(NAME)
    assert stage.builder.plan(stage.context, COMMIT).steps == [f"use the image {NAME}"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("{}", "build.with: is missing (build.prebuilt requires image)"),
        ("{image: 'shop:{commit}'}", "build.with.image: unknown placeholder {commit}; write {sha} or {short_sha}"),
        ("{image: shop, pull: never}", "build.with.pull: must be missing or always, got 'never'"),
        ("{imgae: shop}", "build.with.imgae: unknown key (did you mean image?)"),
    ],
)
def test_each_mistake(options: str, error: str, store: Store, tmp_path: Path) -> None:
    """Options are validated when pipeline.yaml is read."""
    with pytest.raises(ConfigError) as caught:
        Stage(tmp_path, store, options)
    assert error in caught.value.message
