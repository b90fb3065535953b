"""The export of an image from its engine as an archive."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base.errors import EngineFault
from pipeline.engine.image_archive import ImageArchive
from pipeline.engine.interfaces import Engine, Images
from pipeline.engine.long_call import long_call

if TYPE_CHECKING:
    from pipeline.engine.push_receiver import PushReceiver


@dataclass(frozen=True)
class ImageExport:
    """Exports images of the engine `source` without the layers that nobody needs.

    An engine on this machine pushes the image to a `PushReceiver`: it compresses and sends only layers that it has
    never pushed or pulled before. Otherwise, and if that fails, it saves all of the image. `on_fallback` is called with
    the reason then.
    """

    source: Engine
    folder: Path
    cancelled: threading.Event
    timeout: timedelta
    on_fallback: Callable[[str], object] = lambda _: None

    def archive(self, image: str, tag: str, skipped: Collection[str]) -> ImageArchive:
        """Return the archive of an image, which may lack the layers `skipped`. An image without a name gets the tag.

        Raises `EngineFault`, `Cancelled`, `TimeoutError`, and `OSError` if the disk is full.
        """
        if self.source.is_on_this_machine:
            try:
                return self._pushed(image, tag, skipped)
            except EngineFault as fault:
                self.on_fallback(f"the image is saved as a whole: {fault.message}")

        def read(images: Images) -> ImageArchive:
            return ImageArchive.read(images.save(image), skipped, self.folder)

        return long_call(self.source, read, self.timeout, self.cancelled)

    def _pushed(self, image: str, tag: str, skipped: Collection[str]) -> ImageArchive:
        # Only transfers need the HTTP server.
        from pipeline.engine.push_receiver import PushReceiver

        layers = self.source.images.layers(image)
        needed = [layer for layer in dict.fromkeys(layers) if layer not in skipped]
        # The configuration of an image is a blob with the image's id.
        with PushReceiver(self.folder, tag.rpartition(":")[0], {image}) as receiver:
            blob_of = self._push(receiver, image, tag, layers)
            if missing := {blob_of[layer] for layer in needed} - receiver.blobs.keys():
                # The engine knows their digests, so it did not upload them.
                receiver.wanted |= missing
                blob_of = self._push(receiver, image, tag, layers)
            try:
                contents = {layer: receiver.blobs[blob_of[layer]] for layer in needed}
                config = receiver.blobs[image].read()
            except KeyError as blob:
                raise EngineFault(f"the engine did not push {blob}") from None
            return ImageArchive.assemble(image, config, layers, contents, self.folder)

    def _push(self, receiver: PushReceiver, image: str, tag: str, layers: Sequence[str]) -> dict[str, str]:
        """Let the engine push. Returns the digest that each layer has in the registry."""
        name = f"{receiver.address}/{tag}"
        if not self.source.images.has_name(image):
            # A later build has got its tag. It would be removed with the name of the push.
            self.source.images.tag(image, tag)
        self.source.images.tag(image, name)
        try:
            long_call(self.source, lambda images: images.push(name, receiver.login), self.timeout, self.cancelled)
        finally:
            self.source.images.untag(name)
        return _blobs(receiver.manifest, image, layers)


def _blobs(manifest: bytes | None, image: str, layers: Sequence[str]) -> dict[str, str]:
    """Return the digest that each layer has in a registry.

    Raises `EngineFault` if the manifest is not that of the image, in the form of which its id is a digest.
    """
    if manifest is None:
        raise EngineFault("the engine pushed to another machine")
    try:
        found = json.loads(manifest)
        config, blobs = found["config"]["digest"], [str(layer["digest"]) for layer in found["layers"]]
    except (ValueError, KeyError, TypeError):
        config, blobs = "", []
    if config != image or len(blobs) != len(layers):
        raise EngineFault("the engine has images in another form than archives need")
    return dict(zip(layers, blobs, strict=True))
