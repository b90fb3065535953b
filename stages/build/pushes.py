"""Pushes of the tested image to registries, under the names in `build.push`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.api import Image, StageContext
from pipeline.base.errors import ConfigError, EngineFault, StageFailed
from pipeline.base.quantity import format_duration
from pipeline.config.container_values import is_image_name
from pipeline.config.run_variables import RunVariables
from pipeline.engine.interfaces import Engine
from pipeline.engine.lent_names import LentNames
from pipeline.engine.long_call import long_call
from pipeline.event_kinds import EventKind
from stages.build.attempts import Attempts

_DENIED = re.compile(r"denied|unauthorized|no basic auth|forbidden|insufficient_scope|authentication required", re.I)
_NOT_IN_TAG = re.compile(r"[^A-Za-z0-9_.-]")


def names_to_push(context: StageContext, names: Sequence[str], variables: RunVariables) -> list[str]:
    """Return the names with the variables of a run resolved. In a branch, `-` replaces what a tag cannot have.

    Raises `ConfigError` for a name that is not valid with these values.
    """
    found = []
    for index, name in enumerate(names):
        filled = variables.fill_plain(name, lambda value: _NOT_IN_TAG.sub("-", value))
        if not is_image_name(filled):
            pipeline = context.configuration.path
            raise ConfigError(f"{pipeline}: build.push[{index}]: {filled!r} is not a valid name of an image")
        found.append(filled if ":" in filled.rpartition("/")[2] else f"{filled}:latest")
    return list(dict.fromkeys(found))


class Pushes:
    """Pushes the image of one run. A name that the image had only for a push is removed again."""

    def __init__(self, context: StageContext, engine: Engine) -> None:
        self._context = context
        self._engine = engine
        self._names = LentNames(engine.images, context.home, context.configuration.pipeline.name)
        self._timeout = context.configuration.pipeline.build.timeout

    def push(self, image: Image, names: Sequence[str]) -> None:
        """Push the image under each name. Raises `StageFailed` for the first one that fails."""
        for name in names:
            self._context.events.emit(EventKind.IMAGE_PUSHING, f"pushing {name}")
            attempts = Attempts.of_step(self._context, self._engine, "build")
            with self._names.lent(self._context.run, image.id, name, self._context.cancelled, self._timeout):
                try:
                    digest = attempts.run(lambda name=name: self._push(name))  # type: ignore[misc]
                except EngineFault as fault:
                    hint = f"check that {registry_of(name)} can be reached from Docker's machine"
                    raise StageFailed(f"cannot push {name}: {_reason(fault)}", hint=hint) from fault
            text = f"pushed {name}, digest {digest}"
            self._context.events.emit(EventKind.IMAGE_PUSHED, text, image=name, digest=digest)

    def _push(self, name: str) -> str:
        try:
            return long_call(self._engine, lambda images: images.push(name), self._timeout, self._context.cancelled)
        except TimeoutError:
            raise EngineFault(f"{name} was still being pushed after {format_duration(self._timeout)}") from None
        except EngineFault as fault:
            if not _DENIED.search(fault.message):
                raise
            # Another try would be refused too.
            registry = registry_of(name)
            raise StageFailed(
                f"{registry} refused the push of {name}: {_reason(fault)}",
                hint=f"docker login {registry}, as the user of this process, with an account that may push there",
            ) from fault


def registry_of(name: str) -> str:
    """Return the host of an image's registry."""
    first, slash, _ = name.partition("/")
    return first if slash and (first == "localhost" or set(first) & set(".:")) else "docker.io"


def _reason(fault: EngineFault) -> str:
    return f"{fault.message} ({fault.hint})" if fault.hint else fault.message
