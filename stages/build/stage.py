"""Builds an image from a commit's files and tests it, unless the same files were built and tested before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from pipeline.api import Checkout, Image, Plan, StageContext
from pipeline.base.errors import CacheVanished, StageFailed
from pipeline.base.quantity import format_duration
from pipeline.config.models import Build
from pipeline.config.run_variables import RunVariables
from pipeline.engine.builder import BuildSpec, ImageBuilder
from pipeline.engine.hosts import local_engine
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, LABEL_RUN, LABEL_TREE, image_tag
from pipeline.engine.lent_names import LentNames
from pipeline.event_kinds import EventKind
from stages.build.attempts import Attempts
from stages.build.build_files import BuildFiles
from stages.build.context import build_context
from stages.build.dockerfile import Inputs, inputs_of, platform_arguments
from stages.build.given_image import plan_image, take_image
from stages.build.keys import base_in_words, keys_of, service_in_words
from stages.build.pulls import Pulls
from stages.build.pushes import Pushes, names_to_push
from stages.build.testing import ImageTests

_TAIL = 20
_TRIES = 5
_OCI = "org.opencontainers.image."


class DockerBuild:
    """Builds and tests the image of the run's commit."""

    def build(self, context: StageContext, checkout: Checkout) -> Image:
        """Return the image. Raises `StageFailed` with the last lines of output if the build or the tests fail."""
        with local_engine(context.home.id) as engine:
            if given := context.configuration.pipeline.deploy.image:
                return take_image(context, engine, given)
            building = _Building(context, engine, checkout)
            # Docker may have created a test container after the runner that requested it was killed.
            building.clear()
            return building.run()

    def plan(self, context: StageContext, checkout: Checkout) -> Plan[Image | None]:
        """Return the steps of `build`, and the image if it exists already."""
        with local_engine(context.home.id) as engine:
            if given := context.configuration.pipeline.deploy.image:
                return plan_image(context, engine, given)
            return _Building(context, engine, checkout).plan()


def _filled(config: Build, variables: RunVariables) -> Build:
    """Return the section with the variables of a run resolved, apart from `push`."""
    parts = {
        key: {name: variables.fill_plain(text) for name, text in found.items()}
        for key, found in (("args", config.args), ("labels", config.labels))
    }
    return config.model_copy(update=parts)


class _Building:
    def __init__(self, context: StageContext, engine: Engine, checkout: Checkout) -> None:
        self._context = context
        self._engine = engine
        self._checkout = checkout
        self._pipeline = context.configuration.pipeline.name
        revision = checkout.revision
        self._variables = RunVariables(revision.sha, revision.short, revision.ref, context.run or None)
        self._config = _filled(context.configuration.pipeline.build, self._variables)
        self._secrets = context.configuration.secrets.resolve_all(self._config.secrets)
        self._tree = checkout.tree(self._config.context)
        self._pulls = Pulls(context, engine)
        self._pushes = Pushes(context, engine)
        self._folder = context.home.contexts(self._pipeline) / str(context.run)
        self._last: deque[str] = deque(maxlen=_TAIL)

    def clear(self) -> None:
        """Remove what earlier builds and tests left behind. Runs in progress keep theirs."""
        store, own = self._context.store, self._context.run

        def others() -> list[int]:
            return [run.number for run in store.runs.running(self._pipeline) if run.number != own]

        self._engine.containers.remove_leftovers(self._pipeline, others)
        LentNames(self._engine.images, self._context.home, self._pipeline).restore(others)
        self._context.home.remove_contexts(self._pipeline, others)

    def run(self) -> Image:
        self._check_options()
        names = names_to_push(self._context, self._config.push, self._variables)
        inputs = self._inputs()
        keys = keys_of(self._config, self._tree, self._files.digest, inputs, self._secrets, self._pulls.require)
        tree = f"tree {self._tree[:7]}"
        if image := self._known(keys.tested):
            tested = "built and tested" if self._config.test else "built"
            self._context.events.emit(
                EventKind.BUILD_CACHED, f"image {image.tag}: already {tested} from {tree}, reused"
            )
            return self._done(image, names, f"{image.tag}, reused")
        builds = Attempts.of_step(self._context, self._engine, "build")
        if image := self._known(keys.built):
            self._context.events.emit(EventKind.BUILD_CACHED, f"image {image.tag}: already built from {tree}, reused")
        else:
            for address in inputs.remote:
                self._context.log.line("build", f"ADD {address} is read again: its content may have changed")
            image = builds.run(self._build)
            self._context.store.images.pin(self._pipeline, self._context.run, image.id)
            self._remember(keys.built, image)
        summary = self._test(image)
        self._remember(keys.tested, image)
        built = f", built{again}" if (again := builds.summary()) else ""
        return self._done(image, names, f"{image.tag}{built}{summary}")

    def plan(self) -> Plan[Image | None]:
        self._check_options()
        inputs = self._inputs()
        keys = keys_of(self._config, self._tree, self._files.digest, inputs, self._secrets, self._pulls.find)
        if image := self._known(keys.tested):
            tested = "built and tested" if self._config.test else "built"
            return Plan([f"reuse the image {tested} from tree {self._tree[:7]}", *self._planned_pushes()], image)
        tests = self._config.test
        beside = f", beside {', '.join(tests.services)}" if tests and tests.services else ""
        test = [f"test it: {' '.join(tests.command)}{beside}"] if tests else ["no tests: build.test"]
        build = [] if self._known(keys.built) else [f"build {self._tag()} from tree {self._tree[:7]}"]
        pulls = [f"pull base image {name}" for name in inputs.images if self._pulls.find(name) is None]
        return Plan([*pulls, *build, *test, *self._planned_pushes()], None)

    def _planned_pushes(self) -> list[str]:
        return [f"push {self._variables.fill_plain(name)}" for name in self._config.push]

    def _done(self, image: Image, names: list[str], summary: str) -> Image:
        self._engine.images.tag(image.id, image.tag)
        self._pushes.push(image, names)
        self._context.report(summary)
        return image

    def _remember(self, key: str | None, image: Image) -> None:
        if key is not None:
            self._context.store.images.cache(self._pipeline, key, image.id)

    def _known(self, key: str | None) -> Image | None:
        image = self._context.store.images.cached(self._pipeline, key) if key else None
        if image is None:
            return None
        # Pin it before the check, because another run of the pipeline may be removing old images.
        self._context.store.images.pin(self._pipeline, self._context.run, image)
        if self._engine.images.id(image) is None:
            return None
        return Image(image, self._tag())

    def _tag(self) -> str:
        return image_tag(self._context.home.id, self._pipeline, self._checkout.revision.short)

    def _check_options(self) -> None:
        """Raise `ConfigError` for an option that this builder does not support.

        Without such options, the search for a builder is left to the build, because it starts processes.
        """
        config = self._config
        if any((config.secrets, config.ssh, config.cache_from, config.cache_to, config.platforms)):
            self._engine.builder.check(self._spec())

    def _inputs(self, *, every_stage: bool = False) -> Inputs:
        config, platform = self._config, self._engine.platform
        wanted = config.platforms[0] if config.platforms else platform
        arguments = platform_arguments(platform, wanted)
        return inputs_of(
            self._files.text, config.args, target=config.target, platforms=arguments, every_stage=every_stage
        )

    @cached_property
    def _files(self) -> BuildFiles:
        return BuildFiles.read(self._checkout, self._config)

    def _build(self) -> Image:
        started = self._context.clock.monotonic()
        self._context.events.emit(EventKind.BUILD_STARTED, f"building {self._tag()}")
        image = self._build_until_whole()
        size = self._engine.images.size(image) / 1e6
        took = self._context.clock.monotonic() - started
        self._context.events.emit(EventKind.BUILD_FINISHED, f"built {self._tag()} in {took:.1f} s, {size:.0f} MB")
        return Image(image, self._tag())

    def _build_until_whole(self) -> str:
        """Build, and repeat it if another program removed cached images during the build."""
        for _ in range(_TRIES - 1):
            try:
                return self._build_once()
            except CacheVanished as error:
                self._context.events.emit(EventKind.BUILD_WARNING, f"{error.message}: building again")
        return self._build_once()

    def _build_once(self) -> str:
        config = self._config
        limit, files = config.context_limit, self._files.contents
        with ThreadPoolExecutor(1, thread_name_prefix="builder") as pool:
            # The first choice of a builder in a process starts programs, so the files are extracted meanwhile.
            chosen = pool.submit(lambda: self._engine.builder)
            with build_context(self._checkout, config.context, self._folder, self._ignores, limit, files):
                return self._build_with(chosen.result())

    def _build_with(self, builder: ImageBuilder) -> str:
        self._context.log.line("build", f"builder: {builder.description}")
        if not builder.skips_unused_stages:
            for name in self._inputs(every_stage=True).images:
                self._pulls.require(name, *base_in_words(name))
        timeout = self._config.timeout
        try:
            return builder.build(self._spec(), self._on_output, self._context.cancelled, timeout)
        except TimeoutError:
            took = format_duration(timeout)
            raise StageFailed(f"the build was still running after {took}: stopped", tail=tuple(self._last)) from None

    def _ignores(self) -> Callable[[str], bool]:
        return self._engine.images.ignores(self._files.patterns(own=self._engine.builder.knows_own_ignore))

    def _spec(self) -> BuildSpec:
        config = self._config
        return BuildSpec(
            context=self._folder,
            dockerfile=self._files.dockerfile,
            tag=self._tag(),
            args=config.args,
            labels=self._labels(),
            target=config.target,
            secrets=self._secrets,
            ssh=config.ssh,
            cache_from=config.cache_from,
            cache_to=config.cache_to,
            platforms=config.platforms,
            no_cache=self._context.options.no_cache,
        )

    def _on_output(self, line: str) -> None:
        self._last.append(line)
        self._context.log.line("build", line)

    def _labels(self) -> dict[str, str]:
        revision = self._checkout.revision
        return {
            f"{_OCI}revision": revision.sha,
            f"{_OCI}source": revision.source,
            f"{_OCI}created": self._context.clock.now().wall.isoformat(timespec="seconds"),
            f"{_OCI}version": revision.short,
            **self._config.labels,
            LABEL_PIPELINE: self._pipeline,
            LABEL_RUN: str(self._context.run),
            LABEL_TREE: self._tree,
            LABEL_ROLE: "image",
        }

    def _test(self, image: Image) -> str:
        tests = self._config.test
        if tests is None:
            self._context.events.emit(EventKind.TEST_SKIPPED, "build.test is not set: the image is deployed untested")
            return ", untested"
        for name, service in tests.services.items():
            self._pulls.require(service.image, *service_in_words(name, service.image))
        self._context.events.emit(EventKind.TEST_STARTED, f"testing: {' '.join(tests.command)}")
        attempts, once = (
            Attempts.of_step(self._context, self._engine, "test"),
            ImageTests(self._context, self._engine, tests),
        )
        started = self._context.clock.monotonic()

        def attempt() -> str:
            if attempts.number > 1:
                self.clear()
            return once.run(image, attempts.number)

        summary = attempts.run(attempt)
        counts = f": {summary}" if summary else ""
        again = attempts.summary()
        self._context.events.emit(
            EventKind.TEST_FINISHED, f"tests passed{again} in {self._context.clock.monotonic() - started:.1f} s{counts}"
        )
        return f", tests passed{again}{counts}"
