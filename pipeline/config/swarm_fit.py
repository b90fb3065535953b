"""What a Swarm cannot do for a service, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.base.errors import FieldError
from pipeline.config.service import ServiceSettings
from pipeline.config.swarm import SwarmSettings
from pipeline.config.tmpfs import split_tmpfs

_HOST_GATEWAY = "host-gateway"
_TMPFS_OPTIONS = ("size", "mode")


def swarm_mistakes(settings: ServiceSettings, *, is_swarm: bool, reaches_nodes: bool) -> Iterator[FieldError]:
    """Yield what does not fit the runtime. `reaches_nodes`: the file says how the engines of nodes are reached."""
    if not is_swarm:
        if settings.swarm != SwarmSettings():
            yield FieldError("swarm", "requires runtime: swarm in deploy; remove it, or set the runtime")
        return
    if settings.gpus:
        yield FieldError("gpus", "does not fit runtime: swarm, which gives no devices; use runtime: docker with hosts")
    if settings.devices:
        yield FieldError(
            "devices", "does not fit runtime: swarm, which gives no devices; use runtime: docker with hosts"
        )
    if settings.shm_size is not None:
        yield FieldError("shm_size", "does not fit runtime: swarm; write tmpfs: ['/dev/shm:size=64m'] instead")
    if settings.on_drain and settings.on_drain.http is None and not reaches_nodes:
        yield FieldError(
            "on_drain",
            "runs in the container, so runtime: swarm needs the engines of its nodes; list them in deploy.hosts, or "
            "use http",
        )
    yield from _unusual(settings)


def _unusual(settings: ServiceSettings) -> Iterator[FieldError]:
    for index, entry in enumerate(settings.extra_hosts):
        if entry.endswith(f":{_HOST_GATEWAY}"):
            yield FieldError(
                ("extra_hosts", index),
                f"{_HOST_GATEWAY} does not fit runtime: swarm; write an address that all nodes reach",
            )
    for index, entry in enumerate(settings.tmpfs):
        for option in filter(None, split_tmpfs(entry)[1].split(",")):
            name, _, value = option.partition("=")
            if name not in _TMPFS_OPTIONS or value.endswith("%"):
                yield FieldError(
                    ("tmpfs", index), f"{option} does not fit runtime: swarm, which knows size and mode; write size=64m"
                )
