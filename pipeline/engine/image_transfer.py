"""The transfer of an image from one engine to others, by a registry that has it, or with only the layers that lack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pipeline.base.errors import Cancelled, EngineFault, LayerMissing
from pipeline.engine.image_archive import ImageArchive
from pipeline.engine.image_export import ImageExport
from pipeline.engine.interfaces import Engine, Images
from pipeline.engine.long_call import long_call
from pipeline.engine.registry_names import usable_elsewhere

# Bytes between two reports of progress.
_STEP = 4 * 1024 * 1024


class TransferProgress(NamedTuple):
    """What of an image was sent to a host, in bytes."""

    host: str
    sent: int
    size: int


@dataclass(frozen=True)
class ImageTransfer:
    """Sends images from the engine `source`. They pass through a temporary file in `folder`.

    `on_progress` is called by several threads, and `on_fallback` with the reason if a slower way is used. Each call of
    an engine ends after `timeout`, and when `cancelled` is set.
    """

    source: Engine
    folder: Path
    on_progress: Callable[[TransferProgress], object]
    cancelled: threading.Event
    timeout: timedelta
    on_fallback: Callable[[str], object] = lambda _: None

    def send(self, image: str, tag: str, targets: Mapping[str, Engine], names: Sequence[str] = ()) -> dict[str, int]:
        """Give an image, by its id, and a tag to the hosts `targets`. Return the bytes that were sent to each.

        `names` are those under which it was pushed to registries, with its digest there. The source knows others.

        A host that has the image gets the tag only. The others pull it from a registry. If that fails, or no registry
        has it, they are sent the image at the same time, exported once. An engine loads the image whole or not at
        all, so this may be repeated. If a host fails, the others complete. Raises `EngineFault` with the host,
        `Cancelled`, and `OSError` if the disk is full.
        """
        lacking = {host: engine for host, engine in targets.items() if engine.images.id(image) is None}
        lacking = self._not_pulled(image, lacking, names) if lacking else lacking
        sent = dict.fromkeys(targets, 0)
        if lacking:
            sent |= self._send(image, tag, lacking)
        for engine in targets.values():
            engine.images.tag(image, tag)
        return sent

    def _not_pulled(self, image: str, targets: Mapping[str, Engine], names: Sequence[str]) -> dict[str, Engine]:
        """Let the hosts pull an image by one of its names. Returns those that could not."""
        names = usable_elsewhere((*names, *self.source.images.registry_names(image)))
        if not names:
            return dict(targets)
        with ThreadPoolExecutor(len(targets), "image") as pool:
            results = {host: pool.submit(self._pull, host, engine, image, names) for host, engine in targets.items()}
        return {host: engine for host, engine in targets.items() if not results[host].result()}

    def _pull(self, host: str, engine: Engine, image: str, names: Sequence[str]) -> bool:
        for name in names:
            try:
                long_call(engine, partial(_pull_name, name=name), self.timeout, self.cancelled)
            except TimeoutError:
                self.on_fallback(f"host {host} did not pull {name} within {self.timeout}")
            except EngineFault as fault:
                self.on_fallback(f"host {host} cannot pull {name}: {fault.message}")
            else:
                if engine.images.id(image) is not None:
                    return True
                self.on_fallback(f"host {host} pulled another image as {name}")
        return False

    def _send(self, image: str, tag: str, targets: Mapping[str, Engine]) -> dict[str, int]:
        layers = self.source.images.layers(image)
        with ThreadPoolExecutor(len(targets), "image") as pool:
            spared = dict(zip(targets, pool.map(partial(_spared, layers), targets.items()), strict=True))
        with (
            self._exported(image, tag, frozenset.intersection(*spared.values())) as archive,
            ThreadPoolExecutor(len(targets), "image") as pool,
        ):
            results = {
                host: pool.submit(self._load, host, engine, image, tag, archive, spared[host])
                for host, engine in targets.items()
            }
        return {host: result.result() for host, result in results.items()}

    def _load(
        self, host: str, engine: Engine, image: str, tag: str, archive: ImageArchive, spared: frozenset[str]
    ) -> int:
        try:
            try:
                sent = self._load_archive(host, engine, archive, spared)
            except LayerMissing:
                # It was removed in between, or this engine cannot do without it.
                with self._exported(image, tag, frozenset()) as whole:
                    sent = self._load_archive(host, engine, whole, frozenset())
            if engine.images.id(image) is None:
                raise EngineFault("the engine gave the image another id", hint="use the same image store on all hosts")
        except TimeoutError:
            raise EngineFault(f"host {host}: the image did not arrive within {self.timeout}") from None
        except EngineFault as fault:
            raise fault.on_host(host) from fault
        return sent

    def _load_archive(self, host: str, engine: Engine, archive: ImageArchive, spared: frozenset[str]) -> int:
        size = archive.size_without(spared)
        content = self._counted(host, size, archive.without(spared))
        long_call(engine, lambda images: images.load(content), self.timeout, self.cancelled)
        return size

    def _counted(self, host: str, size: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
        sent = reported = 0
        for chunk in chunks:
            if self.cancelled.is_set():
                raise Cancelled("cancelled")
            yield chunk
            sent += len(chunk)
            if sent == size or sent - reported >= _STEP:
                self.on_progress(TransferProgress(host, sent, size))
                reported = sent

    def _exported(self, image: str, tag: str, skipped: frozenset[str]) -> ImageArchive:
        export = ImageExport(self.source, self.folder, self.cancelled, self.timeout, self.on_fallback)
        return export.archive(image, tag, skipped)


def _pull_name(images: Images, name: str) -> None:
    images.pull(name)


def _spared(layers: tuple[str, ...], target: tuple[str, Engine]) -> frozenset[str]:
    host, engine = target
    try:
        return spared_layers(layers, engine.images)
    except EngineFault as fault:
        raise fault.on_host(host) from fault


def spared_layers(layers: tuple[str, ...], images: Images) -> frozenset[str]:
    """Return the layers of an image that need not be sent to the engine of `images`.

    An engine has a layer only on top of those below it. So these are the first ones, as many as one of its images
    shares. A layer that occurs again above them is sent.
    """
    shared = 0
    for image in images.ids():
        shared = max(shared, _shared(layers, images.layers(image)))
        if shared == len(layers):
            break
    return frozenset(layers[:shared]) - frozenset(layers[shared:])


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    for index, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return index
    return min(len(one), len(other))
