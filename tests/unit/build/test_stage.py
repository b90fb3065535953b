"""The Build stage on a fake engine: variables, pushes, pulls, and images that were built elsewhere."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from pipeline.api import Image, Plan, Revision, StageContext
from pipeline.base.errors import ConfigError, EngineFault, StageFailed
from pipeline.base.home import Home
from pipeline.config.load import load
from pipeline.engine.builder import BuildSpec
from pipeline.events import Event
from pipeline.runner.context import PipelineContext
from pipeline.store.records import RunOptions
from pipeline.store.store import Store
from pipeline.testing.fakes.engine import FakeEngine
from stages.build import stage
from stages.build.stage import DockerBuild
from tests.support.started_runs import begin_run

SHA = "0123456789abcdef0123456789abcdef01234567"
REVISION = Revision(SHA, "main", "Ann", "Say hello", datetime(2030, 1, 1, tzinfo=UTC), "here")
NAME = "registry.example.com/shop"


@dataclass
class Files:
    """A commit with a Dockerfile."""

    revision: Revision = REVISION

    def tree(self, path: str) -> str:
        return "t" * 40

    def read(self, path: str) -> bytes | None:
        return b"FROM base:1\n" if path == "Dockerfile" else None

    @contextmanager
    def archive(self, path: str, ignored: Callable[[str], bool]) -> Iterator[IO[bytes]]:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            member = tarfile.TarInfo("Dockerfile")
            member.size = len(b"FROM base:1\n")
            tar.addfile(member, io.BytesIO(b"FROM base:1\n"))
        content.seek(0)
        yield content


@dataclass
class World:
    """A pipeline with a fake engine. `built` are the specifications of its builds."""

    folder: Path
    store: Store
    engine: FakeEngine
    built: list[BuildSpec] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def start(self, text: str, options: RunOptions = RunOptions()) -> StageContext:  # noqa: B008  # a frozen value
        """Return the context of a new run of this pipeline.yaml."""
        file = self.folder / "pipeline.yaml"
        file.write_text(f"name: shop\n{text}")
        home = Home.locate({"PENSTOCK_HOME": str(self.folder / "home")})
        number = begin_run(self.store, "shop").number
        found = PipelineContext(home, load(file, {}, {}), self.store, [self.events.append])
        if options.no_cache:
            # As the runner does.
            self.store.images.clear_cache("shop")
        return replace(found.stage_context(found.events(number), number), options=options)

    def build(
        self,
        text: str,
        options: RunOptions = RunOptions(),  # noqa: B008  # a frozen value
        revision: Revision = REVISION,
    ) -> Image:
        """Build a commit in a new run."""
        return DockerBuild().build(self.start(text, options), Files(revision))

    def of(self, kind: str) -> list[Event]:
        """Return the events of a kind."""
        return [event for event in self.events if event.kind == kind]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    engine = FakeEngine()
    engine.images.add("base:1")
    monkeypatch.setattr(stage, "local_engine", lambda _: engine)
    home = Home.locate({"PENSTOCK_HOME": str(tmp_path / "home")})
    with Store(home.database) as store:
        world = World(tmp_path, store, engine)
        build = engine.builder.build

        def noted(spec: BuildSpec, *arguments: Any) -> str:
            world.built.append(spec)
            return build(spec, *arguments)

        monkeypatch.setattr(engine.builder, "build", noted)
        yield world


DEPLOY = "deploy: {command: [work]}\n"
PUSH = f"{DEPLOY}build: {{push: ['{NAME}:${{short_commit}}', '{NAME}:${{branch}}', {NAME}]}}\n"


def test_arguments_and_labels_have_values(world: World) -> None:
    """Labels of the file replace those of the commit, but not those of Penstock."""
    world.build(
        f"{DEPLOY}build:\n  args: {{VERSION: '${{short_commit}}', RUN: '${{run}}', LITERAL: '$${{run}}'}}\n"
        "  labels: {title: 'shop ${branch}', org.opencontainers.image.version: v1}\n"
    )
    (spec,) = world.built
    assert spec.args == {"VERSION": "0123456", "RUN": "1", "LITERAL": "${run}"}
    assert spec.labels["title"] == "shop main"
    assert spec.labels["org.opencontainers.image.version"] == "v1"
    assert spec.labels["org.opencontainers.image.revision"] == SHA
    assert spec.labels["penstock.run"] == "1"


@pytest.mark.parametrize(
    ("build", "builds"),
    [
        ("{args: {A: '${commit}'}}", 1),
        ("{args: {A: '${run}'}}", 2),
        ("{labels: {A: '${run}'}}", 2),
        ("{labels: {A: same}}", 1),
        ("{}", 1),
    ],
)
def test_the_number_of_the_run_builds_again(build: str, builds: int, world: World) -> None:
    """Other variables do so only for another commit."""
    for _ in range(2):
        world.build(f"{DEPLOY}build: {build}\n")
    assert len(world.built) == builds


def test_a_changed_label_builds_again(world: World) -> None:
    """The image has it then."""
    for label in ("a", "b"):
        world.build(f"{DEPLOY}build: {{labels: {{title: {label}}}}}\n")
    assert [spec.labels["title"] for spec in world.built] == ["a", "b"]


def test_an_image_is_pushed_under_each_name(world: World) -> None:
    """An event has the digest. The image keeps no name of the registry, so it can be removed later."""
    image = world.build(PUSH)
    names = [f"{NAME}:0123456", f"{NAME}:main", f"{NAME}:latest"]
    assert [world.engine.images.pushed[name] for name in names] == [image.id] * 3
    assert [(event.fields["image"], event.fields["digest"]) for event in world.of("image.pushed")] == [
        (name, image.id) for name in names
    ]
    assert [world.engine.images.id(name) for name in names] == [None] * 3
    assert world.engine.images.remove(image.id)


def test_an_image_that_is_reused_is_pushed_too(world: World) -> None:
    """Another commit with the same files has another tag."""
    first = world.build(PUSH)
    second = world.build(PUSH, revision=replace(REVISION, sha="f" * 40, ref="release/2"))
    assert (second.id, len(world.built)) == (first.id, 1)
    assert world.engine.images.pushed[f"{NAME}:fffffff"] == first.id
    assert world.engine.images.pushed[f"{NAME}:release-2"] == first.id


def test_a_name_of_another_image_returns_to_it(world: World) -> None:
    """The registry has the new image then, and this machine what it had."""
    other = world.engine.images.add(f"{NAME}:latest")
    image = world.build(PUSH)
    assert world.engine.images.pushed[f"{NAME}:latest"] == image.id
    assert world.engine.images.id(f"{NAME}:latest") == other


def test_a_registry_that_cannot_be_reached_is_tried_again(world: World) -> None:
    """As a pull is. Then the run fails, and no name stays."""
    down = EngineFault("Get http://registry.example.com/v2/: connection refused")
    world.engine.faults.fail("images.push", down)
    world.build(PUSH)
    assert len(world.of("build.retry")) == 1
    world.engine.faults.fail("images.push", down, times=2)
    with pytest.raises(StageFailed) as caught:
        world.build(PUSH)
    assert caught.value.message == (
        f"cannot push {NAME}:0123456: Get http://registry.example.com/v2/: connection refused (2nd try)"
    )
    assert caught.value.hint == "check that registry.example.com can be reached from Docker's machine"
    assert world.engine.images.id(f"{NAME}:0123456") is None


@pytest.mark.parametrize(
    "message",
    [
        "denied: requested access to the resource is denied",
        "unauthorized: authentication required",
        "no basic auth credentials",
        "unexpected status from PUT request: 403 Forbidden",
    ],
)
def test_a_refused_push_is_not_tried_again(message: str, world: World) -> None:
    """The hint is about the account."""
    world.engine.faults.fail("images.push", EngineFault(message, hint="the helper failed"))
    with pytest.raises(StageFailed) as caught:
        world.build(PUSH)
    assert caught.value.message == (
        f"registry.example.com refused the push of {NAME}:0123456: {message} (the helper failed)"
    )
    assert caught.value.hint == (
        "docker login registry.example.com, as the user of this process, with an account that may push there"
    )
    assert not world.of("build.retry")
    assert not world.of("image.pushed")


def test_a_name_that_is_not_valid_with_its_values(world: World) -> None:
    """Nothing is built for it."""
    with pytest.raises(ConfigError) as caught:
        world.build(
            f"{DEPLOY}build: {{push: ['{NAME}/${{commit}}${{commit}}/a:${{branch}}']}}\n",
            revision=replace(REVISION, ref="b" * 200),
        )
    assert "build.push[0]: " in caught.value.message
    assert caught.value.message.endswith("is not a valid name of an image")
    assert not world.built


@pytest.mark.parametrize("had_name", [False, True])
def test_a_killed_push_leaves_no_name(world: World, monkeypatch: pytest.MonkeyPatch, *, had_name: bool) -> None:
    """The next build of the pipeline takes it back, unless the run is still in progress."""
    name = f"{NAME}:latest"
    before = world.engine.images.add(name) if had_name else None
    context = world.start(PUSH)
    left = context.home.pushes("shop") / f"{context.run}.json"
    image = DockerBuild().build(context, Files())
    # What SIGKILL leaves during the push.
    left.write_text(json.dumps({"name": name, "image": image.id, "before": before}))
    world.engine.images.tag(image.id, name)
    half = context.home.pushes("shop") / f"{context.run + 50}.json"
    half.write_text("{")
    # As the recovery of the killed run does.
    context.home.remove_contexts("shop", list)
    running = [context.run]
    monkeypatch.setattr(world.store.runs, "running", lambda _: [SimpleNamespace(number=run) for run in running])
    world.build(f"{DEPLOY}build: {{}}\n")
    assert left.exists()
    assert not half.exists()
    running.clear()
    world.build(f"{DEPLOY}build: {{}}\n")
    assert not left.exists()
    assert world.engine.images.id(name) == before


def test_pull_builds_again_if_a_base_image_has_moved(world: World) -> None:
    """It is pulled in each run with `pull`, and never otherwise if it exists."""
    images = world.engine.images
    images.registry.add("base:1")
    world.build(DEPLOY)
    world.build(DEPLOY, RunOptions(pull=True))
    assert (len(world.built), world.engine.faults.calls["images.pull"]) == (1, 1)
    images.moved["base:1"] = b"new"
    world.build(DEPLOY)
    assert len(world.built) == 1
    world.build(DEPLOY, RunOptions(pull=True))
    assert (len(world.built), world.engine.faults.calls["images.pull"]) == (2, 2)


def test_a_base_image_without_a_registry_cannot_be_pulled_again(world: World) -> None:
    """The error does not call it missing."""
    with pytest.raises(StageFailed) as caught:
        world.build(DEPLOY, RunOptions(pull=True))
    assert caught.value.message.startswith("base image base:1 cannot be pulled: pull access denied for base:1")


def test_no_cache_builds_again(world: World) -> None:
    """Without the cache of the builder, and without that of Penstock."""
    world.build(DEPLOY)
    world.build(DEPLOY, RunOptions(no_cache=True))
    assert [spec.no_cache for spec in world.built] == [False, True]


GIVEN = f"deploy: {{image: '{NAME}:stable', command: [work]}}\n"


def test_a_given_image_is_pulled_and_not_built(world: World) -> None:
    """Once, and again with `pull`. Its name may then be that of another image."""
    images = world.engine.images
    images.registry.add(f"{NAME}:stable")
    first = world.build(GIVEN)
    assert first == Image(images.known(f"{NAME}:stable"), f"{NAME}:stable")
    images.moved[f"{NAME}:stable"] = b"new"
    assert world.build(GIVEN) == first
    assert world.build(GIVEN, RunOptions(pull=True)).id == images.id(f"{NAME}:stable") != first.id
    assert (world.built, world.engine.faults.calls["images.pull"]) == ([], 2)
    assert [event.message for event in world.of("image.pulling")] == [f"pulling image {NAME}:stable"] * 2


def test_a_given_image_that_cannot_be_pulled(world: World) -> None:
    """The error names the key."""
    with pytest.raises(StageFailed) as caught:
        world.build(GIVEN)
    assert caught.value.message == (
        f"image {NAME}:stable is missing and cannot be pulled: pull access denied for {NAME}:stable (2nd try)"
    )
    assert caught.value.hint == "check deploy.image, and that this machine may pull it: docker login"


def test_a_plan_shows_variables_that_have_no_value_yet(world: World) -> None:
    """It says what is pushed and pulled, and changes nothing."""

    def plan(text: str) -> Plan[Image | None]:
        return DockerBuild().plan(replace(world.start(text), run=0), Files())

    text = f"{DEPLOY}build: {{push: ['{NAME}:${{short_commit}}-${{run}}']}}\n"
    assert plan(text).steps[-1] == f"push {NAME}:0123456-${{run}}"
    assert plan(GIVEN).steps == [f"pull the image {NAME}:stable"]
    world.engine.images.add(f"{NAME}:stable")
    assert plan(GIVEN).steps == [f"use the image {NAME}:stable"]
    assert not world.engine.images.pushed
