"""The images of a release on the hosts of its replicas. The local engine has built or pulled them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from pipeline.api import StageContext
from pipeline.base.errors import EngineFault
from pipeline.config.release import ReleaseSpec
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import image_tag
from pipeline.event_kinds import EventKind

if TYPE_CHECKING:
    from pipeline.engine.image_transfer import TransferProgress

_TIMEOUT = timedelta(minutes=30)
# Progress is reported after each of so many parts of an image.
_PARTS = 5


class HostImages:
    """Sends images from the local engine `source` to hosts that lack them. Safe from any thread.

    Each method raises `EngineFault` with the host if one does not answer or refuses an image, after the others have it,
    and `Cancelled`.
    """

    def __init__(self, context: StageContext, source: Engine) -> None:
        self._context = context
        self._source = source
        self._lock = threading.Lock()
        # One transfer of an image to a host at a time: replicas that start together need the same.
        self._sending: dict[tuple[str, str], threading.Lock] = {}

    def is_source(self, engine: Engine) -> bool:
        """Return whether an engine is the local one, perhaps reached by SSH."""
        return engine.describe().id == self._source.describe().id

    def send(self, spec: ReleaseSpec, hosts: Mapping[str, Engine]) -> None:
        """Give the images of the services of a release to hosts, each to all at once."""
        for image in dict.fromkeys(service.image_id for service in spec.replicated_services()):
            self._send(image, hosts)

    def send_before_start(self, host: str, engine: Engine, image: str) -> None:
        """Give an image to the host of a replica that is about to start, which may have been lost before."""
        with self._lock:
            sending = self._sending.setdefault((host, image), threading.Lock())
        with sending:
            self._send(image, {host: engine})

    def _send(self, image: str, hosts: Mapping[str, Engine]) -> None:
        lacking = {name: engine for name, engine in hosts.items() if not _has(name, engine, image)}
        if not lacking:
            return
        # Imported here, since it loads an HTTP server, which a pipeline without hosts does not need.
        from pipeline.engine.image_transfer import ImageTransfer

        pipeline, tag = self._context.configuration.pipeline.name, image.removeprefix("sha256:")[:12]
        transfer = ImageTransfer(
            self._source,
            self._context.home.root,
            _Progress(self._context, image),
            self._context.cancelled,
            _TIMEOUT,
            lambda reason: self._report_fallback(image, reason),
        )
        pushed = self._context.store.images.registry_names(pipeline, image)
        try:
            sent = transfer.send(image, image_tag(self._context.home.id, pipeline, tag), lacking, pushed)
        except OSError as error:
            raise EngineFault(f"image {tag} cannot be sent to {', '.join(lacking)}: {error}") from error
        total, names = sum(sent.values()), ", ".join(lacking)
        text = f"image {tag} sent to {names}: {_bytes(total)}" if total else f"image {tag} pulled by {names}"
        self._context.events.emit(EventKind.IMAGE_SENT, text, image=image, sent=total, hosts=names)

    def _report_fallback(self, image: str, reason: str) -> None:
        self._context.events.emit(EventKind.IMAGE_FALLBACK, reason, image=image, reason=reason)


class _Progress:
    """Reports the parts of an image that were sent to each host."""

    def __init__(self, context: StageContext, image: str) -> None:
        self._context = context
        self._image = image
        self._reported: dict[str, int] = {}

    def __call__(self, progress: TransferProgress) -> None:
        part = progress.sent * _PARTS // max(progress.size, 1)
        if part <= self._reported.get(progress.host, 0) or progress.sent >= progress.size:
            return
        self._reported[progress.host] = part
        text = f"{_bytes(progress.sent)} of {_bytes(progress.size)} sent to {progress.host}"
        self._context.events.emit(EventKind.IMAGE_SENDING, text, image=self._image, **progress._asdict())


def _has(name: str, engine: Engine, image: str) -> bool:
    try:
        return engine.images.id(image) is not None
    except EngineFault as fault:
        raise fault.on_host(name) from fault


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{-(-size // 1000)} kB"
