"""The containers of the Docker Engine."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from pipeline.base.errors import EngineFault
from pipeline.engine.container import Container, ContainerSpec
from pipeline.engine.docker.faults import (
    as_stage_failure,
    check_response,
    ignore_not_found,
    ignore_unreadable,
    translate_errors,
)
from pipeline.engine.docker.lines import lines_of, missing_lines
from pipeline.engine.docker.networks import DockerNetworks
from pipeline.engine.docker.server import log_driver_of
from pipeline.engine.docker.translation import container_from_inspect, container_from_list, health_check, host_options
from pipeline.engine.interfaces import CpuTime
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
# The lines by which the end of a stream is compared with the log.
_OVERLAP = 50
_POLL_INTERVAL = 0.05
_CHUNK = 64 * 1024


class DockerContainers:
    """The containers that carry the label of `home`."""

    missing: Mapping[str, EngineFault] = MappingProxyType({})

    def __init__(self, api: Any, home: str, networks: DockerNetworks) -> None:
        self._api = api
        self._home = home
        self._networks = networks

    def for_pipeline(self, pipeline: str, role: str = ROLE_APP) -> list[Container]:
        """Return every container of a pipeline, in any state. One call of the engine."""
        labels = [f"{LABEL_HOME}={self._home}", f"{LABEL_PIPELINE}={pipeline}", f"{LABEL_ROLE}={role}"]
        with translate_errors(self._api):
            rows = self._api.containers(all=True, filters={"label": labels})
        return [container_from_list(row) for row in rows]

    def find(self, name: str) -> Container | None:
        """Return the home's container of that name, in any state, or None."""
        filters = {"label": f"{LABEL_HOME}={self._home}", "name": f"^/{re.escape(name)}$"}
        with translate_errors(self._api):
            rows = self._api.containers(all=True, filters=filters)
        return container_from_list(rows[0]) if rows else None

    def inspect(self, container: str) -> Container:
        """Return one container in full. Raises `EngineFault` if it is gone."""
        with translate_errors(self._api):
            return container_from_inspect(self._api.inspect_container(container))

    def start(self, spec: ContainerSpec) -> str:
        """Create and start a container and return its id. Docker does not restart it before `set_restart_policy`.

        Raises `StageFailed` if the image or the configuration cannot be started, and leaves nothing behind then.
        """
        with translate_errors(self._api), as_stage_failure(spec.name):
            created = self._api.create_container(
                image=spec.image,
                name=spec.name,
                command=list(spec.command) if spec.command else None,
                entrypoint=list(spec.entrypoint) if spec.entrypoint is not None else None,
                environment=dict(spec.environment),
                labels={**spec.options.labels, **spec.labels, LABEL_HOME: self._home},
                user=spec.options.user,
                working_dir=spec.options.working_dir,
                stop_signal=spec.options.stop_signal,
                ports=[(each.container_port, each.protocol) for each in spec.published] or None,
                host_config=self._api.create_host_config(**host_options(spec, self._log_driver(spec))),
                networking_config=self._networking(spec),
                # Where the balancer checks health, there is no probe: a second check would only add delay.
                healthcheck=health_check(spec.probe),
            )["Id"]
            try:
                self._join(created, spec)
                self._api.start(created)
            except BaseException:
                with ignore_not_found():
                    self._api.remove_container(created, force=True, v=True)
                raise
        return str(created)

    def _join(self, container: str, spec: ContainerSpec) -> None:
        """Connect a container that was created to more networks. Older engines take one network at the creation."""
        for network, aliases in spec.options.networks.items():
            address = self._networks.address_for_guest(network)
            self._api.connect_container_to_network(
                container, network, ipv4_address=address, aliases=list(aliases) or None
            )

    def start_again(self, container: str) -> None:
        """Start a container that was stopped or has exited. Docker ignores one that runs."""
        with translate_errors(self._api), as_stage_failure(container):
            self._api.start(container)

    def _log_driver(self, spec: ContainerSpec) -> str | None:
        """Return the engine's default log driver if the container needs it by name."""
        wanted = spec.options.log_driver
        needs_default = wanted.name is None if wanted else spec.log is not None
        return log_driver_of(self._api) if needs_default else None

    def set_restart_policy(self, container: str, policy: str) -> None:
        """Set what Docker does when the process exits: no, on-failure, always or unless-stopped."""
        with translate_errors(self._api), ignore_not_found():
            self._api.update_container(container, restart_policy={"Name": policy})

    def stop(self, container: str, grace: timedelta) -> None:
        """Send SIGTERM, and SIGKILL after `grace`. Returns when the process has exited. It is not restarted."""
        seconds = max(0, round(grace.total_seconds()))
        with translate_errors(self._api), ignore_not_found():
            self._api.stop(container, timeout=seconds)

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Send a signal. Docker does not restart a container that this ends."""
        with translate_errors(self._api), ignore_not_found():
            self._api.kill(container, signal)

    def remove(self, container: str) -> None:
        """Remove a container and its anonymous volumes, running or not."""
        with translate_errors(self._api), ignore_not_found():
            self._api.remove_container(container, v=True, force=True)

    def logs(self, container: str, tail: int = _TAIL) -> tuple[str, ...]:
        """Return the last lines of output, or nothing if the container is gone or its log driver keeps none."""
        with translate_errors(self._api), ignore_not_found(), ignore_unreadable():
            raw = self._api.logs(container, tail=tail)
            return tuple(raw.decode(errors="replace").splitlines())
        return ()

    def stream(self, container: str) -> Iterator[str]:
        """Yield every line of output until the process exits. A line of more than 64 KiB comes in pieces."""
        last = deque[str](maxlen=_OVERLAP)
        with translate_errors(self._api):
            for line in lines_of(self._api.logs(container, stream=True, follow=True)):
                last.append(line)
                yield line
            # Docker may end a stream without the last line that the process has written, above all one without an end.
            with ignore_not_found():
                written = lines_of(iter([self._api.logs(container, tail=_OVERLAP)]))
                yield from missing_lines(list(last), list(written))

    def exec(self, container: str, command: Sequence[str], limit: timedelta, cancelled: threading.Event) -> int | None:
        """Run a command in a container and return its exit code.

        Returns None if it still runs after `limit`, when `cancelled` is set, and if the container does not run.
        Raises `StageFailed` if the command cannot be started.
        """
        with translate_errors(self._api), as_stage_failure(" ".join(command)), ignore_not_found():
            running = self._api.exec_create(container, list(command), stdout=False, stderr=False)["Id"]
            # An attached command would hold a connection until it exits.
            self._api.exec_start(running, detach=True)
            deadline = time.monotonic() + limit.total_seconds()
            while time.monotonic() < deadline and not cancelled.wait(_POLL_INTERVAL):
                state = self._api.exec_inspect(running)
                if not state["Running"]:
                    return int(state["ExitCode"])
        return None

    def cpu_time(self, container: str) -> CpuTime | None:
        """Return the CPU time of a container, or None if it does not run.

        Docker reads it from the container's cgroup, of either version, once a second. Without `one_shot` it would also
        wait for a second reading, to compute percentages.
        """
        with translate_errors(self._api), ignore_not_found():
            found = self._api.stats(container, stream=False, one_shot=True)
            # The zero time is Docker's answer for a container that does not run.
            if not found["read"].startswith("0001-"):
                read_at = datetime.fromisoformat(found["read"]).timestamp()
                return CpuTime(found["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, read_at)
        return None

    def cpus(self, container: str) -> int | None:  # noqa: ARG002  # all containers of an engine are on one machine
        """Return the number of processors of Docker's machine."""
        with translate_errors(self._api):
            return int(self._api.info()["NCPU"])

    def tar(self, container: str, path: str) -> Iterator[bytes]:
        """Yield a tar of a file or a folder in a container, or nothing if it does not exist."""
        with translate_errors(self._api), ignore_not_found():
            # The SDK's own method has no limit for what follows the first bytes.
            url = f"{self._api.base_url}/v{self._api.api_version}/containers/{container}/archive"
            answer = self._api.get(url, params={"path": path}, stream=True, timeout=self._api.timeout)
            with answer:
                check_response(answer)
                yield from answer.iter_content(_CHUNK)

    def changed_paths(self, container: str) -> frozenset[str]:
        """Return the paths that were written since the container started, without those in volumes."""
        with translate_errors(self._api), ignore_not_found():
            return frozenset(change["Path"] for change in self._api.diff(container) or ())
        return frozenset()

    def remove_leftovers(self, pipeline: str, running: Callable[[], Collection[int]] = tuple) -> None:
        """Remove the tests, their services and networks, and the release commands that a killed run left behind.

        `running` returns the runs that are in progress. Their containers and networks stay.
        """
        found = [*self.for_pipeline(pipeline, ROLE_TEST), *self.for_pipeline(pipeline, ROLE_RELEASE)]
        networks = self._networks.private(pipeline)
        # Called after the list was read, so a run that starts later has nothing in it.
        spared = {str(run) for run in running()}
        for container in found:
            if container.labels.get(LABEL_RUN) not in spared:
                self.remove(container.id)
        for network, labels in networks.items():
            if labels.get(LABEL_RUN) not in spared:
                # Docker refuses if a container of another program uses it.
                with suppress(EngineFault):
                    self._networks.remove_private(network)

    def _networking(self, spec: ContainerSpec) -> Any:
        if spec.address is None and not spec.aliases:
            return None
        endpoint = self._api.create_endpoint_config(ipv4_address=spec.address, aliases=list(spec.aliases) or None)
        return self._api.create_networking_config({spec.network: endpoint})
