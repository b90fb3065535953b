"""Pushes of the tested image to registries, under the names in `build.push`."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from pipeline.api import Image, StageContext
from pipeline.base.errors import ConfigError, EngineFault, StageFailed
from pipeline.base.files import make_folder
from pipeline.base.quantity import format_duration
from pipeline.config.container_values import is_image_name
from pipeline.config.run_variables import RunVariables
from pipeline.engine.interfaces import Engine
from pipeline.engine.long_call import long_call
from pipeline.event_kinds import EventKind
from stages.build.attempts import Attempts

_DENIED = re.compile(r"denied|unauthorized|no basic auth|forbidden|insufficient_scope|authentication required", re.I)
_NOT_IN_TAG = re.compile(r"[^A-Za-z0-9_.-]")
_FILE = "names.json"


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
        self._pipeline = context.configuration.pipeline.name
        self._timeout = context.configuration.pipeline.build.timeout

    def push(self, image: Image, names: Sequence[str]) -> None:
        """Push the image under each name. Raises `StageFailed` for the first one that fails."""
        for name in names:
            self._context.events.emit(EventKind.IMAGE_PUSHING, f"pushing {name}")
            attempts = Attempts.of_step(self._context, self._engine, "build")
            with self._named(image, name):
                try:
                    digest = attempts.run(lambda name=name: self._push(name))  # type: ignore[misc]
                except EngineFault as fault:
                    hint = f"check that {registry_of(name)} can be reached from Docker's machine"
                    raise StageFailed(f"cannot push {name}: {_reason(fault)}", hint=hint) from fault
            text = f"pushed {name}, digest {digest}"
            self._context.events.emit(EventKind.IMAGE_PUSHED, text, image=name, digest=digest)

    def restore(self, running: Callable[[], Collection[int]]) -> None:
        """Take the names back that killed runs have left. `running` returns the runs that still push."""
        folders = list(self._context.home.contexts(self._pipeline).glob("*.push"))
        spared = {f"{run}.push" for run in running()}
        for folder in folders:
            if folder.name not in spared:
                try:
                    left = json.loads((folder / _FILE).read_text())
                except (OSError, ValueError):
                    left = {}  # Killed before the first name was given.
                for name, before in left.items():
                    self._restore(name, before)
                shutil.rmtree(folder, ignore_errors=True)

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

    @contextmanager
    def _named(self, image: Image, name: str) -> Iterator[None]:
        """Give the image a name. Another image that had it gets it back."""
        before = self._engine.images.id(name)
        folder = self._context.home.contexts(self._pipeline) / f"{self._context.run}.push"
        make_folder(folder.parent)
        make_folder(folder)
        (folder / _FILE).write_text(json.dumps({name: before}))
        self._engine.images.tag(image.id, name)
        try:
            yield
        finally:
            if before != image.id:
                self._restore(name, before)
            shutil.rmtree(folder, ignore_errors=True)

    def _restore(self, name: str, before: str | None) -> None:
        if before is not None and self._engine.images.id(before) is not None:
            self._engine.images.tag(before, name)
        else:
            self._engine.images.untag(name)


def registry_of(name: str) -> str:
    """Return the host of an image's registry."""
    first, slash, _ = name.partition("/")
    return first if slash and (first == "localhost" or set(first) & set(".:")) else "docker.io"


def _reason(fault: EngineFault) -> str:
    return f"{fault.message} ({fault.hint})" if fault.hint else fault.message
