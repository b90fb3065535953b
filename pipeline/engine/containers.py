"""Containers: listed, started, stopped, read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pipeline.engine.container import Container, ContainerSpec, host_options, inspected, listed
from pipeline.engine.faults import gone_is_fine, readable_errors, users_fault
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_ROLE, ROLE_APP, ROLE_TEST

_TAIL = 20


class Containers:
    """The containers that carry the label of `home`."""

    def __init__(self, api: Any, home: str) -> None:
        self._api = api
        self._home = home

    def of(self, pipeline: str, role: str = ROLE_APP) -> list[Container]:
        """Every container of a pipeline, in whatever state: one call, made to be made often."""
        labels = [f"{LABEL_HOME}={self._home}", f"{LABEL_PIPELINE}={pipeline}", f"{LABEL_ROLE}={role}"]
        with readable_errors():
            rows = self._api.containers(all=True, filters={"label": labels})
        return [listed(row) for row in rows]

    def inspect(self, container: str) -> Container:
        """One container, with how it ended."""
        with readable_errors():
            return inspected(self._api.inspect_container(container))

    def start(self, spec: ContainerSpec) -> str:
        """Make a container and start it; returns its id. It is not restarted before `set_restart_policy`.

        Raises `StageFailed` when the image or the configuration cannot be started, and leaves nothing behind.
        """
        with readable_errors(), users_fault(spec.name):
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
        with readable_errors(), gone_is_fine():
            self._api.update_container(container, restart_policy={"Name": policy})

    def stop(self, container: str, grace: timedelta) -> None:
        """SIGTERM, SIGKILL after `grace`; returns when it has ended, and it is not restarted."""
        seconds = max(0, round(grace.total_seconds()))
        with readable_errors(), gone_is_fine():
            self._api.stop(container, timeout=seconds)

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Send a signal."""
        with readable_errors(), gone_is_fine():
            self._api.kill(container, signal)

    def remove(self, container: str) -> None:
        """Remove a container that has ended, with its anonymous volumes."""
        with readable_errors(), gone_is_fine():
            self._api.remove_container(container, v=True, force=True)

    def logs(self, container: str, tail: int = _TAIL) -> tuple[str, ...]:
        """The last lines that it printed."""
        with readable_errors(), gone_is_fine():
            raw = self._api.logs(container, tail=tail)
            return tuple(raw.decode(errors="replace").splitlines())
        return ()

    def stream(self, container: str) -> Iterator[str]:
        """Every line that it prints, until it ends."""
        with readable_errors():
            yield from _lines(self._api.logs(container, stream=True, follow=True))

    def archive(self, container: str, path: str, limit: int) -> bytes | None:
        """A tar of a file or a folder in a container, at most `limit` bytes; None when it is not there."""
        with readable_errors(), gone_is_fine():
            chunks, _ = self._api.get_archive(container, path)
            content = io.BytesIO()
            for chunk in chunks:
                content.write(chunk)
                if content.tell() > limit:
                    return None
            return content.getvalue()
        return None

    def remove_leftovers(self, pipeline: str) -> None:
        """Remove test containers that a killed run left behind. Nobody else may be running tests meanwhile."""
        for container in self.of(pipeline, ROLE_TEST):
            self.remove(container.id)

    def _networking(self, spec: ContainerSpec) -> Any:
        if spec.address is None:
            return None
        endpoint = self._api.create_endpoint_config(ipv4_address=spec.address)
        return self._api.create_networking_config({spec.network: endpoint})


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Whole lines; the last one may have no end."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")
