"""Containers: listed, started, stopped, read."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pipeline.base.errors import EngineFault
from pipeline.engine.container import Container, ContainerSpec, host_options, inspected, listed
from pipeline.engine.docker.faults import as_stage_failure, ignore_not_found, translate_errors
from pipeline.engine.docker.networks import Networks
from pipeline.engine.labels import (
    LABEL_HOME,
    LABEL_PIPELINE,
    LABEL_ROLE,
    LABEL_RUN,
    ROLE_APP,
    ROLE_RELEASE,
    ROLE_TEST,
)

_TAIL = 20
_LOOK = 0.05
_CHUNK = 64 * 1024
# What is printed without an end is taken in pieces of at most so many bytes.
_PIECE = 64 * 1024


class Containers:
    """The containers that carry the label of `home`."""

    def __init__(self, api: Any, home: str, networks: Networks) -> None:
        self._api = api
        self._home = home
        self._networks = networks

    def for_pipeline(self, pipeline: str, role: str = ROLE_APP) -> list[Container]:
        """Every container of a pipeline, in whatever state: one call, made to be made often."""
        labels = [f"{LABEL_HOME}={self._home}", f"{LABEL_PIPELINE}={pipeline}", f"{LABEL_ROLE}={role}"]
        with translate_errors():
            rows = self._api.containers(all=True, filters={"label": labels})
        return [listed(row) for row in rows]

    def inspect(self, container: str) -> Container:
        """One container, with how it ended."""
        with translate_errors():
            return inspected(self._api.inspect_container(container))

    def start(self, spec: ContainerSpec) -> str:
        """Make a container and start it; returns its id. It is not restarted before `set_restart_policy`.

        Raises `StageFailed` when the image or the configuration cannot be started, and leaves nothing behind.
        """
        with translate_errors(), as_stage_failure(spec.name):
            created = self._api.create_container(
                image=spec.image,
                name=spec.name,
                command=list(spec.command) if spec.command else None,
                entrypoint=list(spec.entrypoint) if spec.entrypoint is not None else None,
                environment=dict(spec.environment),
                labels={**spec.labels, LABEL_HOME: self._home},
                ports=[spec.published[0]] if spec.published else None,
                host_config=self._api.create_host_config(**host_options(spec)),
                networking_config=self._networking(spec),
                # The balancer checks; a second opinion would only cost time.
                healthcheck={"test": ["NONE"]},
            )["Id"]
            try:
                self._api.start(created)
            except BaseException:
                self._api.remove_container(created, force=True, v=True)
                raise
        return str(created)

    def set_restart_policy(self, container: str, policy: str) -> None:
        """What Docker does when the container ends by itself: no, on-failure, always, unless-stopped."""
        with translate_errors(), ignore_not_found():
            self._api.update_container(container, restart_policy={"Name": policy})

    def stop(self, container: str, grace: timedelta) -> None:
        """SIGTERM, SIGKILL after `grace`; returns when it has ended, and it is not restarted."""
        seconds = max(0, round(grace.total_seconds()))
        with translate_errors(), ignore_not_found():
            self._api.stop(container, timeout=seconds)

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Send a signal."""
        with translate_errors(), ignore_not_found():
            self._api.kill(container, signal)

    def remove(self, container: str) -> None:
        """Remove a container that has ended, with its anonymous volumes."""
        with translate_errors(), ignore_not_found():
            self._api.remove_container(container, v=True, force=True)

    def logs(self, container: str, tail: int = _TAIL) -> tuple[str, ...]:
        """The last lines that it printed."""
        with translate_errors(), ignore_not_found():
            raw = self._api.logs(container, tail=tail)
            return tuple(raw.decode(errors="replace").splitlines())
        return ()

    def stream(self, container: str) -> Iterator[str]:
        """Every line that it prints, until it ends; a line of more than 64 KiB in pieces."""
        with translate_errors():
            yield from _lines(self._api.logs(container, stream=True, follow=True))

    def exec(self, container: str, command: Sequence[str], limit: timedelta, cancelled: threading.Event) -> int | None:
        """Run a command in a container; its exit code.

        None when it still runs after `limit` or is not waited for any more, and when the container does not run.
        Raises `StageFailed` where it cannot be started.
        """
        with translate_errors(), as_stage_failure(" ".join(command)), ignore_not_found():
            running = self._api.exec_create(container, list(command), stdout=False, stderr=False)["Id"]
            # Attached, a silent command would hold a connection for as long as it likes.
            self._api.exec_start(running, detach=True)
            deadline = time.monotonic() + limit.total_seconds()
            while time.monotonic() < deadline and not cancelled.wait(_LOOK):
                state = self._api.exec_inspect(running)
                if not state["Running"]:
                    return int(state["ExitCode"])
        return None

    def tar(self, container: str, path: str) -> Iterator[bytes]:
        """A tar of a file or a folder in a container, as it comes; nothing when it is not there."""
        with translate_errors(), ignore_not_found():
            chunks, _ = self._api.get_archive(container, path, chunk_size=_CHUNK)
            yield from chunks

    def archive(self, container: str, path: str, limit: int) -> bytes | None:
        """A tar of a file or a folder in a container; None when it is not there, or larger than `limit` bytes."""
        content = io.BytesIO()
        for chunk in self.tar(container, path):
            content.write(chunk)
            if content.tell() > limit:
                return None
        return content.getvalue() or None

    def remove_leftovers(self, pipeline: str, running: Callable[[], Collection[int]] = tuple) -> None:
        """Remove what a killed run left behind of its tests, their services and network, and its release command.

        `running` tells the runs that are being worked on, whose things stay.
        """
        found = [*self.for_pipeline(pipeline, ROLE_TEST), *self.for_pipeline(pipeline, ROLE_RELEASE)]
        networks = self._networks.private(pipeline)
        # Asked after they were listed: what a run makes that begins meanwhile is not among them.
        spared = {str(run) for run in running()}
        for container in found:
            if container.labels.get(LABEL_RUN) not in spared:
                self.remove(container.id)
        for network, labels in networks.items():
            if labels.get(LABEL_RUN) not in spared:
                # A stranger's container may be in it.
                with suppress(EngineFault):
                    self._networks.remove_private(network)

    def _networking(self, spec: ContainerSpec) -> Any:
        if spec.address is None and not spec.aliases:
            return None
        endpoint = self._api.create_endpoint_config(ipv4_address=spec.address, aliases=list(spec.aliases) or None)
        return self._api.create_networking_config({spec.network: endpoint})


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Whole lines, or pieces of one that is too long; the last one may have no end."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield from (piece.decode(errors="replace") for piece in _pieces(line))
        *pieces, rest = _pieces(rest)
        yield from (piece.decode(errors="replace") for piece in pieces)
    if rest:
        yield rest.decode(errors="replace")


def _pieces(line: bytes) -> Iterator[bytes]:
    """A line in pieces of which none is too long, and none begins inside a character of UTF-8."""
    while len(line) > _PIECE:
        end = next((end for end in range(_PIECE, _PIECE - 4, -1) if line[end] & 0xC0 != 0x80), _PIECE)
        yield line[:end]
        line = line[end:]
    yield line
