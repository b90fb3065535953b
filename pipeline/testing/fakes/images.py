"""Images in memory."""

from __future__ import annotations

import hashlib
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from fnmatch import fnmatch

from pipeline.base.errors import EngineFault, LayerMissing
from pipeline.engine.interfaces import RegistryLogin
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_RUN, is_own_tag
from pipeline.engine.registry_names import name_with_digest
from pipeline.testing.fakes.faults import Faults
from pipeline.testing.fakes.image_file import read_image_file, write_image_file


@dataclass
class _Image:
    """One image with its tags."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    healthcheck: tuple[str, ...] | None = None
    size: int = 1
    layers: tuple[bytes, ...] = ()
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

    def has_name(self, image: str) -> bool:
        """Return whether an image has a name."""
        with self.faults.call("images.has_name"), self._lock:
            found = self._find(image)
            return found is not None and bool(found.tags)

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

    def push(self, reference: str, login: RegistryLogin | None = None) -> str:
        """Put the image into the registry, and return its id as the digest."""
        with self.faults.call("images.push"), self._lock:
            found = self._existing(reference)
            kept = _Image(found.id, found.labels, found.healthcheck, found.size, found.layers)
            for name in (reference, f"{reference.rpartition(':')[0]}@{found.id}"):
                self.registry.add(name)
                self._pushed[name] = kept
            return found.id

    def registry_names(self, image: str) -> tuple[str, ...]:
        """Return the names with a digest under which an image was pushed, of repositories that it has a name of."""
        with self.faults.call("images.registry_names"), self._lock:
            found = self._find(image)
            own = {name_with_digest(tag, found.id) for tag in found.tags} if found else set()
            return tuple(name for name, kept in self._pushed.items() if name in own and found and kept.id == found.id)

    def share_registry(self, other: FakeImages) -> None:
        """Use the registry of another engine."""
        self.registry, self._pushed = other.registry, other._pushed

    @property
    def pushed(self) -> dict[str, str]:
        """The id of each image that was pushed, by its name there."""
        with self._lock:
            return {name: image.id for name, image in self._pushed.items()}

    def add_built(self, content: bytes, tag: str, labels: Mapping[str, str]) -> str:
        """Add an image whose id depends on what it is built from, and return the id."""
        with self._lock:
            layers = (b"base", content)
            return self._add(content, tag, {**labels, LABEL_HOME: self._home}, None, len(content), layers).id

    def ignores(self, dockerignore: str) -> Callable[[str], bool]:
        """Return a predicate for plain names and globs. It knows no exceptions (`!`)."""
        patterns = [line.strip() for line in dockerignore.splitlines() if line.strip() and not line.startswith("#")]
        return lambda path: any(fnmatch(path.rstrip("/"), p) or path.startswith(f"{p}/") for p in patterns)

    def for_pipeline(self, pipeline: str) -> dict[str, str]:
        """Return the id of every image built for a pipeline, with the run that built it."""
        with self.faults.call("images.of"), self._lock:
            own = [i for i in self._images.values() if i.labels.get(LABEL_PIPELINE) == pipeline]
            return {image.id: image.labels.get(LABEL_RUN, "") for image in own}

    def ids(self) -> set[str]:
        """Return the id of every image."""
        with self.faults.call("images.ids"), self._lock:
            return set(self._images)

    def layers(self, image: str) -> tuple[str, ...]:
        """Return the digests of an image's layers."""
        with self.faults.call("images.layers"), self._lock:
            found = self._find(image)
            return tuple(map(_digest, found.layers)) if found else ()

    def save(self, image: str) -> Iterator[bytes]:
        """Yield an archive of an image."""
        with self.faults.call("images.save"), self._lock:
            found = self._existing(image)
        healthcheck = list(found.healthcheck) if found.healthcheck else None
        about = {"id": found.id, "labels": dict(found.labels), "healthcheck": healthcheck, "size": found.size}
        yield from write_image_file({**about, "layers": [*map(_digest, found.layers)]}, found.layers)

    def load(self, archive: Iterator[bytes]) -> None:
        """Add the image of an archive."""
        with self.faults.call("images.load"):
            try:
                about, given = read_image_file(archive)
            except tarfile.TarError as error:
                raise EngineFault(f"the archive is cut off: {error}") from error
            with self._lock:
                layers = self._completed(about["layers"], given)
                healthcheck = tuple(about["healthcheck"]) if about["healthcheck"] else None
                made = _Image(about["id"], about["labels"], healthcheck, about["size"], layers)
                self._images.setdefault(made.id, made)

    def _completed(self, digests: list[str], given: list[bytes | None]) -> tuple[bytes, ...]:
        """Return all layers, those that are not given from an image that has them on the same layers."""
        done: list[bytes] = []
        for index, content in enumerate(given):
            same = (
                image.layers[index]
                for image in self._images.values()
                if [*map(_digest, image.layers[: index + 1])] == digests[: index + 1]
            )
            known = next(same, content)
            if known is None:
                raise LayerMissing(f"layer {digests[index]} is missing")
            done.append(known)
        return tuple(done)

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
            found.tags = {tag for tag in found.tags if not is_own_tag(tag)}
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
        layers: tuple[bytes, ...] = (),
    ) -> _Image:
        made = _Image(_digest(parts), labels, healthcheck, size, layers or (parts,))
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


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
