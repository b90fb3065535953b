"""Builds an image from a commit's files and tests it, unless the same files were built and tested before."""

from __future__ import annotations

import hashlib
import json
from collections import deque

from pipeline.api import Checkout, Image, Plan, StageContext
from pipeline.base.errors import CacheVanished, EngineFault, StageFailed
from pipeline.base.quantity import format_duration
from pipeline.config.steps import Retry
from pipeline.engine.hosts import local_engine
from pipeline.engine.interfaces import Engine, Images
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, LABEL_RUN, LABEL_TREE, TAGS
from pipeline.event_kinds import EventKind
from stages.build.attempts import Attempts
from stages.build.call import call
from stages.build.context import build_context
from stages.build.dockerfile import base_images
from stages.build.testing import ImageTests

_TAIL = 20
_TRIES = 5
_OCI = "org.opencontainers.image."
_BASE_HINT = "name another in the Dockerfile's FROM, or in build.args where it is an argument"


class DockerBuild:
    """Builds and tests the image of the run's commit."""

    def build(self, context: StageContext, checkout: Checkout) -> Image:
        """Return the image. Raises `StageFailed` with the last lines of output if the build or the tests fail."""
        with local_engine(context.home.id) as engine:
            building = _Building(context, engine, checkout)
            # Docker may have created a test container after the runner that asked for it was killed.
            building.clear()
            return building.run()

    def plan(self, context: StageContext, checkout: Checkout) -> Plan[Image | None]:
        """Return the steps of `build`, and the image if it exists already."""
        with local_engine(context.home.id) as engine:
            return _Building(context, engine, checkout).plan()


class _Building:
    def __init__(self, context: StageContext, engine: Engine, checkout: Checkout) -> None:
        self._context = context
        self._engine = engine
        self._checkout = checkout
        self._pipeline = context.configuration.pipeline.name
        self._config = context.configuration.pipeline.build
        self._tree = checkout.tree(self._config.context)
        self._last: deque[str] = deque(maxlen=_TAIL)

    def clear(self) -> None:
        """Remove what earlier tests left behind. Runs in progress keep theirs."""
        store, own = self._context.store, self._context.run
        self._engine.containers.remove_leftovers(
            self._pipeline, lambda: [run.number for run in store.runs.running(self._pipeline) if run.number != own]
        )

    def run(self) -> Image:
        built_key = self._built_key()
        tested_key = self._tested_key(built_key)
        tree = f"tree {self._tree[:7]}"
        if image := self._known(tested_key):
            tested = "built and tested" if self._config.test else "built"
            self._context.events.emit(
                EventKind.BUILD_CACHED, f"image {image.tag}: already {tested} from {tree}, reused"
            )
            return self._done(image, f"{image.tag}, reused")
        builds = self._attempts("build")
        if image := self._known(built_key):
            self._context.events.emit(EventKind.BUILD_CACHED, f"image {image.tag}: already built from {tree}, reused")
        else:
            image = builds.run(self._build)
            self._context.store.images.pin(self._pipeline, self._context.run, image.id)
            self._context.store.images.cache(self._pipeline, built_key, image.id)
        summary = self._test(image)
        self._context.store.images.cache(self._pipeline, tested_key, image.id)
        built = f", built{again}" if (again := builds.summary()) else ""
        return self._done(image, f"{image.tag}{built}{summary}")

    def plan(self) -> Plan[Image | None]:
        built_key = self._built_key()
        if image := self._known(self._tested_key(built_key)):
            tested = "built and tested" if self._config.test else "built"
            return Plan([f"reuse the image {tested} from tree {self._tree[:7]}"], image)
        tests = self._config.test
        beside = f", beside {', '.join(tests.services)}" if tests and tests.services else ""
        test = [f"test it: {' '.join(tests.command)}{beside}"] if tests else ["no tests: build.test"]
        build = [] if self._known(built_key) else [f"build {self._tag()} from tree {self._tree[:7]}"]
        return Plan([*build, *test], None)

    def _done(self, image: Image, summary: str) -> Image:
        self._engine.images.tag(image.id, image.tag)
        self._context.report(summary)
        return image

    def _known(self, key: str) -> Image | None:
        image = self._context.store.images.cached(self._pipeline, key)
        if image is None:
            return None
        # Hold it before the check: another run of the pipeline may be removing old images.
        self._context.store.images.pin(self._pipeline, self._context.run, image)
        if self._engine.images.id(image) is None:
            return None
        return Image(image, self._tag())

    def _tag(self) -> str:
        return f"{TAGS}{self._pipeline.lower()}:{self._checkout.revision.short}"

    def _dockerfile(self) -> str:
        config, revision = self._config, self._checkout.revision
        path = _join(config.context, config.dockerfile)
        content = self._checkout.read(path)
        if content is None:
            raise StageFailed(
                f"commit {revision.short} has no {path}",
                hint="build.context and build.dockerfile say where the Dockerfile is, from the repository's root",
            )
        return content.decode(errors="replace")

    def _built_key(self) -> str:
        """Return the cache key of everything that the image is built from."""
        bases = {
            name: self._present(name, f"base image {name}", _BASE_HINT)
            for name in base_images(self._dockerfile(), self._config.args)
        }
        parts = [self._tree, self._config.dockerfile, sorted(self._config.args.items()), sorted(bases.items())]
        return f"built:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"

    def _tested_key(self, built_key: str) -> str:
        tests = self._config.test.model_dump_json(exclude={"retry"}) if self._config.test else ""
        return f"tested:{hashlib.sha256((built_key + tests).encode()).hexdigest()}"

    def _attempts(self, step: str) -> Attempts:
        retry = self._config.test.retry if self._config.test else Retry()
        return Attempts(self._context, retry, step, self._engine.answers)

    def _present(self, image: str, what: str, hint: str) -> str:
        """Return the id of an image, pulled if it is missing. The builder's own error would be less clear."""
        found = self._engine.images.id(image)
        if found is None:
            self._context.events.emit(EventKind.IMAGE_PULLING, f"pulling {what}")
            try:
                self._attempts("build").run(lambda: self._pull(image, what))
            except EngineFault as error:
                raise StageFailed(f"{what} is neither here nor can it be pulled: {error.message}", hint=hint) from error
            found = self._engine.images.id(image)
        return found or ""

    def _pull(self, image: str, what: str) -> None:
        try:
            call(self._context, self._engine, lambda images: images.pull(image), self._config.timeout)
        except TimeoutError:
            raise EngineFault(f"{what} was still being pulled after {format_duration(self._config.timeout)}") from None

    def _build(self) -> Image:
        started = self._context.clock.monotonic()
        self._context.events.emit(EventKind.BUILD_STARTED, f"building {self._tag()}")
        image = self._send_until_whole()
        size = self._engine.images.size(image) / 1e6
        took = self._context.clock.monotonic() - started
        self._context.events.emit(EventKind.BUILD_FINISHED, f"built {self._tag()} in {took:.1f} s, {size:.0f} MB")
        return Image(image, self._tag())

    def _send_until_whole(self) -> str:
        """Build, and again if another pipeline removed the images that the builder was reusing."""
        for _ in range(_TRIES - 1):
            try:
                return self._send()
            except CacheVanished as error:
                self._context.events.emit(EventKind.BUILD_WARNING, f"{error.message}: building again")
        return self._send()

    def _send(self) -> str:
        """Build once and return the image's id."""
        config = self._config
        ignore = self._checkout.read(_join(config.context, ".dockerignore")) or b""
        ignored = self._engine.images.ignores(ignore.decode(errors="surrogateescape"))
        with build_context(self._checkout, config.context, config.dockerfile, ignored, config.context_limit) as tar:

            def build(images: Images) -> str:
                return images.build(
                    tar,
                    dockerfile=config.dockerfile,
                    tag=self._tag(),
                    args=config.args,
                    labels=self._labels(),
                    on_output=self._on_output,
                )

            try:
                return call(self._context, self._engine, build, config.timeout)
            except TimeoutError:
                limit = format_duration(config.timeout)
                raise StageFailed(
                    f"the build was still running after {limit}: stopped", tail=tuple(self._last)
                ) from None

    def _on_output(self, line: str) -> None:
        self._last.append(line)
        self._context.log.line("build", line)
        self._context.check_cancelled()

    def _labels(self) -> dict[str, str]:
        revision = self._checkout.revision
        return {
            f"{_OCI}revision": revision.sha,
            f"{_OCI}source": revision.source,
            f"{_OCI}created": self._context.clock.now().wall.isoformat(timespec="seconds"),
            f"{_OCI}version": revision.short,
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
            self._present(
                service.image, f"service {name}'s image {service.image}", "see its image in build.test.services"
            )
        self._context.events.emit(EventKind.TEST_STARTED, f"testing: {' '.join(tests.command)}")
        attempts, once = self._attempts("test"), ImageTests(self._context, self._engine, tests)
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


def _join(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"
