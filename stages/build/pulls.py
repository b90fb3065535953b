"""The images that a build or its tests need, pulled if they are missing."""

from __future__ import annotations

from pipeline.api import StageContext
from pipeline.base.errors import EngineFault, StageFailed
from pipeline.base.quantity import format_duration
from pipeline.engine.interfaces import Engine
from pipeline.engine.long_call import long_call
from pipeline.event_kinds import EventKind
from stages.build.attempts import Attempts


class Pulls:
    """Finds images and pulls those that are missing. The builder's own error would be less clear."""

    def __init__(self, context: StageContext, engine: Engine) -> None:
        self._context = context
        self._engine = engine
        self._config = context.configuration.pipeline.build
        self._pulled: set[str] = set()

    def find(self, image: str, *_: str) -> str | None:
        """Return the id of an image, or None if it is missing. Never pulls, so it ignores the texts for an error."""
        return self._engine.images.id(image)

    def require(self, image: str, what: str, hint: str) -> str:
        """Return the id of an image, pulled if it is missing. Raises `StageFailed` if it cannot be pulled.

        A run with `pull` pulls each image once, also if it exists. An image without a registry cannot be pulled.
        """
        found = self.find(image)
        if found is None or (self._context.options.pull and image not in self._pulled):
            self._pulled.add(image)
            self._context.events.emit(EventKind.IMAGE_PULLING, f"pulling {what}")
            attempts = Attempts.of_step(self._context, self._engine, "build")
            try:
                attempts.run(lambda: self._pull(image, what))
            except EngineFault as error:
                reason = f"{error.message} ({error.hint})" if error.hint else error.message
                missing = "is missing and " if found is None else ""
                raise StageFailed(f"{what} {missing}cannot be pulled: {reason}", hint=hint) from error
            found = self.find(image)
        return found or ""

    def _pull(self, image: str, what: str) -> None:
        try:
            long_call(self._engine, lambda images: images.pull(image), self._config.timeout, self._context.cancelled)
        except TimeoutError:
            raise EngineFault(f"{what} was still being pulled after {format_duration(self._config.timeout)}") from None
