"""Images in memory."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from fnmatch import fnmatch

from pipeline.base.errors import EngineFault
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_RUN, TAGS
from pipeline.testing.fakes.faults import Faults


@dataclass
class _Image:
    """One image with its tags."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    healthcheck: tuple[str, ...] | None = None
    size: int = 1
    tags: set[str] = field(default_factory=set)


class FakeImages:
    """The images of a fake engine. `in_use` returns whether a container was made from one.

    A test adds images with `add`, and puts what can be pulled into `registry`.
    """

    def __init__(self, faults: Faults, *, home: str, in_use: Callable[[str], bool]) -> None:
        self.faults = faults
        self._home = home
        self._in_use = in_use
        self._lock = threading.Lock()
        self._images: dict[str, _Image] = {}
        self.registry: set[str] = set()
        self.moved: dict[str, bytes] = {}
        """Contents of other images that names in `registry` have by now."""
        self._pushed: dict[str, _Image] = {}

    def over(self, faults: Faults) -> FakeImages:
        """Return the same images with the faults of another connection."""
        other = copy(self)
        other.faults = faults
        return other

    def add(self, reference: str, *, healthcheck: tuple[str, ...] | None = None) -> str:
        """Add an image under a name, unless there is one, and return its id."""
        with self._lock:
            found = self._find(reference)
            return found.id if found else self._add(reference.encode(), reference, {}, healthcheck).id

    def has(self, reference: str) -> bool:
        """Return whether there is such an image."""
        with self._lock:
            return self._find(reference) is not None

    def known(self, reference: str) -> str:
        """Return the id of an image, or the reference itself if it has been removed."""
        with self._lock:
            found = self._find(reference)
            return found.id if found else reference

    def id(self, reference: str) -> str | None:
        """Return the id of an image, or None."""
        with self.faults.call("images.id"), self._lock:
            found = self._find(reference)
            return found.id if found else None

    def size(self, image: str) -> int:
        """Return the size of an image in bytes."""
        with self.faults.call("images.size"), self._lock:
            return self._existing(image).size

    def tag(self, image: str, tag: str) -> None:
        """Give an image one more name."""
        with self.faults.call("images.tag"), self._lock:
            found = self._existing(image)
            for other in self._images.values():
                other.tags.discard(tag)
            found.tags.add(tag)

    def untag(self, tag: str) -> None:
        """Remove a name. An image without another one is removed too."""
        with self.faults.call("images.untag"), self._lock:
            found = self._find(tag)
            if found is not None:
                found.tags.discard(tag)
                if not found.tags:
                    del self._images[found.id]

    def healthcheck(self, image: str) -> tuple[str, ...] | None:
        """Return the command of the image's HEALTHCHECK, or None."""
        with self.faults.call("images.healthcheck"), self._lock:
            return self._existing(image).healthcheck

    def pull(self, reference: str) -> None:
        """Add an image that is in `registry`. Raises `EngineFault` if it is not."""
        with self.faults.call("images.pull"):
            if reference not in self.registry:
                raise EngineFault(f"pull access denied for {reference}")
            with self._lock:
                if kept := self._pushed.get(reference):
                    for other in self._images.values():
                        other.tags.discard(reference)
                    self._images.setdefault(kept.id, kept).tags.add(reference)
                    return
            if reference not in self.moved:
                self.add(reference)
                return
            with self._lock:
                self._add(self.moved[reference], reference, {}, None)

    def push(self, reference: str) -> str:
        """Put the image into the registry, and return its id as the digest."""
        with self.faults.call("images.push"), self._lock:
            found = self._existing(reference)
            kept = _Image(found.id, found.labels, found.healthcheck, found.size)
            for name in (reference, f"{reference.rpartition(':')[0]}@{found.id}"):
                self.registry.add(name)
                self._pushed[name] = kept
            return found.id

    @property
    def pushed(self) -> dict[str, str]:
        """The id of each image that was pushed, by its name there."""
        with self._lock:
            return {name: image.id for name, image in self._pushed.items()}

    def add_built(self, content: bytes, tag: str, labels: Mapping[str, str]) -> str:
        """Add an image whose id depends on what it is built from, and return the id."""
        with self._lock:
            return self._add(content, tag, {**labels, LABEL_HOME: self._home}, None, len(content)).id

    def ignores(self, dockerignore: str) -> Callable[[str], bool]:
        """Return a predicate for plain names and globs. It knows no exceptions (`!`)."""
        patterns = [line.strip() for line in dockerignore.splitlines() if line.strip() and not line.startswith("#")]
        return lambda path: any(fnmatch(path.rstrip("/"), p) or path.startswith(f"{p}/") for p in patterns)

    def for_pipeline(self, pipeline: str) -> dict[str, str]:
        """Return the id of every image built for a pipeline, with the run that built it."""
        with self.faults.call("images.of"), self._lock:
            own = [i for i in self._images.values() if i.labels.get(LABEL_PIPELINE) == pipeline]
            return {image.id: image.labels.get(LABEL_RUN, "") for image in own}

    def remove(self, image: str) -> bool:
        """Remove an image and its tags. Return False if it is still in use or has a tag of another program."""
        # Called before the lock is taken, because the containers call the images while they hold theirs.
        used = self._in_use(self.known(image))
        with self.faults.call("images.remove"), self._lock:
            found = self._find(image)
            if found is None:
                return True
            if used:
                return False
            found.tags = {tag for tag in found.tags if not tag.startswith(TAGS)}
            if found.tags:
                return False
            del self._images[found.id]
            return True

    def _add(
        self,
        parts: bytes,
        tag: str,
        labels: Mapping[str, str],
        healthcheck: tuple[str, ...] | None,
        size: int = 1,
    ) -> _Image:
        made = _Image(f"sha256:{hashlib.sha256(parts).hexdigest()}", labels, healthcheck, size)
        kept = self._images.setdefault(made.id, made)
        for other in self._images.values():
            other.tags.discard(tag)
        kept.tags.add(tag)
        return kept

    def _find(self, reference: str) -> _Image | None:
        found = self._images.get(reference)
        return found or next((i for i in self._images.values() if reference in i.tags), None)

    def _existing(self, image: str) -> _Image:
        found = self._find(image)
        if found is None:
            raise EngineFault(f"No such image: {image}")
        return found
