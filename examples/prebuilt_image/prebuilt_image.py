"""A Build stage that takes the image which another system has built for the commit, and builds nothing itself."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from pipeline.api import Checkout, Image, Plan, Revision, StageContext, StageOptions
from pipeline.base.errors import EngineFault, StageFailed
from pipeline.engine import hosts
from pipeline.engine.builder import BuildSpec
from pipeline.engine.interfaces import Engine, EngineConnection
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, LABEL_RUN, image_tag

_PLACEHOLDER = re.compile(r"\{([^}]*)\}")
_POLL_INTERVAL = 0.1
_TIMEOUT = timedelta(minutes=5)


class PrebuiltImage:
    """Makes the pipeline's image from one that exists in a registry or in the engine."""

    class Options(StageOptions):
        """The keys of `with`."""

        image: str = Field(
            min_length=1, description="Name of the image. {sha} and {short_sha} are replaced by the commit's id."
        )
        pull: Literal["missing", "always"] = Field(
            "missing", description="When to pull. `always` is for a name that gets another image later."
        )

        @field_validator("image")
        @classmethod
        def _check_placeholders(cls, value: str) -> str:
            for name in _PLACEHOLDER.findall(value):
                if name not in ("sha", "short_sha"):
                    raise ValueError(f"unknown placeholder {{{name}}}; write {{sha}} or {{short_sha}}")
            return value

    def __init__(self, options: Options) -> None:
        self._options = options

    def build(self, context: StageContext, checkout: Checkout) -> Image:
        """Return the image of the commit. Raises `StageFailed` if there is none."""
        name, pipeline = self._name(checkout.revision), context.configuration.pipeline.name
        tag = image_tag(context.home.id, pipeline, checkout.revision.short)

        def on_output(line: str) -> None:
            context.log.line("build", line)
            context.check_cancelled()

        with hosts.local_engine(context.home.id) as engine:
            if self._must_pull(engine, name):
                _pull(context, engine, name)
            # Penstock's retention finds the pipeline's images by their labels, so the image gets them.
            labels = {LABEL_PIPELINE: pipeline, LABEL_RUN: str(context.run), LABEL_ROLE: "image"}
            with tempfile.TemporaryDirectory() as folder:
                # A Dockerfile that adds nothing to the image.
                Path(folder, "Dockerfile").write_text(f"FROM {name}\n")
                spec = BuildSpec(Path(folder), "Dockerfile", tag, labels=labels)
                image = engine.builder.build(spec, on_output, context.cancelled, _TIMEOUT)
        # The image stays while the run deploys it.
        context.store.images.pin(pipeline, context.run, image)
        context.report(f"{tag}, from {name}")
        return Image(image, tag)

    def plan(self, context: StageContext, checkout: Checkout) -> Plan[Image | None]:
        """Return the name of the image, and whether it would be pulled."""
        name = self._name(checkout.revision)
        with hosts.local_engine(context.home.id) as engine:
            return Plan([f"{'pull' if self._must_pull(engine, name) else 'use'} the image {name}"], None)

    def _name(self, revision: Revision) -> str:
        return self._options.image.replace("{sha}", revision.sha).replace("{short_sha}", revision.short)

    def _must_pull(self, engine: Engine, name: str) -> bool:
        return self._options.pull == "always" or engine.images.id(name) is None


def _pull(context: StageContext, engine: Engine, name: str) -> None:
    """Pull an image. Raises `Cancelled` as soon as the run is cancelled."""
    try:
        with engine.cancellable() as connection, _aborted_on_cancel(context.cancelled, connection):
            connection.images.pull(name)
    except EngineFault as error:
        context.check_cancelled()
        raise StageFailed(
            f"there is no image {name} for this commit: {error.message}",
            hint="wait until the other system has pushed it, and check build.with.image",
        ) from error


@contextmanager
def _aborted_on_cancel(cancelled: threading.Event, connection: EngineConnection) -> Iterator[None]:
    """Close the connection when the run is cancelled, so that its call ends."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_POLL_INTERVAL):
            if cancelled.is_set():
                connection.close()
                return

    thread = threading.Thread(target=watch, name="prebuilt-image", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
