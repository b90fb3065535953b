"""Containers in memory, with states, restarts, exit codes and output."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import PurePosixPath
from types import MappingProxyType

from pipeline.base.errors import EngineFault, NetworkVanished, PortTaken, StageFailed
from pipeline.engine.container import SIGKILL_CODE, Container, ContainerSpec
from pipeline.engine.interfaces import CpuTime
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE, LABEL_ROLE, LABEL_RUN, ROLE_APP, ROLE_RELEASE, ROLE_TEST
from pipeline.testing.fakes.faults import Faults
from pipeline.testing.fakes.images import FakeImages
from pipeline.testing.fakes.networks import FakeNetworks
from pipeline.testing.fakes.process import FakeProcess
from pipeline.testing.fakes.program import Program

# The ids of several engines differ.
_IDS = count(1)

ProcessListener = Callable[[ContainerSpec, int | None], object]
"""Hears of a process of a container that begins, with None, or that has ended, with its exit code."""


class FakeContainers:
    """The containers of a fake engine. `program` returns the program of each container.

    `on_change` hears of each process that begins, with None, and of each that ends, with its exit code.

    Beyond the interface, a test ends processes, prints lines, and removes containers behind the engine's back.
    """

    missing: Mapping[str, EngineFault] = MappingProxyType({})
    processors = 8

    def __init__(
        self,
        faults: Faults,
        images: FakeImages,
        networks: FakeNetworks,
        *,
        home: str,
        program: Callable[[ContainerSpec], Program],
        now: Callable[[], datetime],
        on_change: ProcessListener = lambda _, __: None,
    ) -> None:
        self._faults = faults
        self._images = images
        self._networks = networks
        self._home = home
        self._program = program
        self._now = now
        self._on_change = on_change
        self._changed = threading.Condition()
        self._containers: dict[str, FakeProcess] = {}

    def for_pipeline(self, pipeline: str, role: str = ROLE_APP) -> list[Container]:
        """Return every container of a pipeline, in any state."""
        wanted = {LABEL_HOME: self._home, LABEL_PIPELINE: pipeline, LABEL_ROLE: role}.items()
        with self._faults.call("containers.of"), self._changed:
            return [c.shown(self._now()) for c in self._containers.values() if wanted <= c.labels.items()]

    def find(self, name: str) -> Container | None:
        """Return the container of that name, or None."""
        with self._faults.call("containers.find"), self._changed:
            found = self._get(name)
            return found.shown(self._now()) if found else None

    def inspect(self, container: str) -> Container:
        """Return one container in full. Raises `EngineFault` if it is gone."""
        with self._faults.call("containers.inspect"), self._changed:
            found = self._get(container)
            if found is None:
                raise EngineFault(f"No such container: {container}")
            return found.shown(self._now(), full=True)

    def start(self, spec: ContainerSpec) -> str:
        """Create and start a container and return its id."""
        with self._faults.call("containers.start"), self._changed:
            program = self._program(spec).within(spec)
            if self._get(spec.name):
                raise StageFailed(f"{spec.name} cannot be started: the name is in use")
            if not self._images.has(spec.image):
                raise StageFailed(f"{spec.name} cannot be started: No such image: {spec.image}")
            if program.refusal:
                raise StageFailed(f"{spec.name} cannot be started: {program.refusal}")
            self._check_ports(spec)
            for network in spec.options.networks:
                if not self._networks.has(network):
                    raise StageFailed(f"{spec.name} cannot be started: network {network} not found")
            address = spec.address or self._networks.assign(spec.network)
            made = FakeProcess(
                f"{next(_IDS):064x}", spec, self._images.known(spec.image), program, self._now(), address, self._home
            )
            made.networks = {each: self._networks.identity(each) for each in (spec.network, *spec.options.networks)}
            self._containers[made.id] = made
            self._begin(made)
            self._end_by_program(made)
            return made.id

    def _check_ports(self, spec: ContainerSpec) -> None:
        wanted = {(each.address, each.port, each.protocol) for each in spec.published if each.port}
        for other in self._containers.values():
            held = {(each.address, each.port, each.protocol) for each in other.spec.published}
            if other.state == "running" and wanted & held:
                raise PortTaken("the fake engine: port is already allocated")

    def start_again(self, container: str) -> None:
        """Start a container that was stopped or has exited."""
        with self._faults.call("containers.start_again"), self._changed:
            found = self._get(container)
            if found is None:
                raise StageFailed(f"{container} cannot be started: No such container")
            if found.state != "running":
                for network, number in found.networks.items():
                    if self._networks.identity(network) != number:
                        raise NetworkVanished(f"{container} cannot be started: network {number} not found")
                self._begin(found)
                self._end_by_program(found)

    def set_restart_policy(self, container: str, policy: str) -> None:
        """Set what happens when the process exits."""
        with self._faults.call("containers.set_restart_policy"), self._changed:
            if found := self._get(container):
                found.policy = policy

    def stop(self, container: str, grace: timedelta) -> None:
        """Send SIGTERM, and SIGKILL immediately if the program ignores it."""
        with self._faults.call("containers.stop"), self._changed:
            found = self._get(container)
            if found and found.state == "running":
                code = found.program.on_sigterm
                self._end(found, SIGKILL_CODE if code is None else code, by_hand=True)

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Send a signal. One that the program ignores has no effect."""
        with self._faults.call("containers.kill"), self._changed:
            found = self._get(container)
            if found and found.state == "running":
                code = SIGKILL_CODE if signal == "SIGKILL" else found.program.on_sigterm
                if code is not None:
                    self._end(found, code, by_hand=True)

    def remove(self, container: str) -> None:
        """Remove a container, running or not."""
        with self._faults.call("containers.remove"):
            self.forget(container)

    def logs(self, container: str, tail: int = 20) -> tuple[str, ...]:
        """Return the last lines of output."""
        with self._faults.call("containers.logs"), self._changed:
            found = self._get(container)
            driver = found.spec.options.log_driver if found else None
            is_readable = driver is None or driver.is_readable
            return tuple(found.lines[-tail:]) if found and is_readable else ()

    def stream(self, container: str) -> Iterator[str]:
        """Yield every line of output until the process exits."""
        heard = 0
        while True:
            with self._faults.call("containers.stream"), self._changed:
                found = self._get(container)
                lines = found.lines[heard:] if found else []
                if not lines and (found is None or found.state != "running"):
                    return
                if not lines:
                    # A daemon that dies ends the stream, so the faults are checked again soon.
                    self._changed.wait(0.01)
            yield from lines
            heard += len(lines)

    def exec(self, container: str, command: Sequence[str], limit: timedelta, cancelled: threading.Event) -> int | None:
        """Return the exit code that the program's `commands` have for a command."""
        with self._faults.call("containers.exec"), self._changed:
            found = self._get(container)
            if found is None or found.state != "running" or cancelled.is_set():
                return None
            if tuple(command) not in found.program.commands:
                raise StageFailed(f"{' '.join(command)} cannot be started: executable file not found")
            return found.program.commands[tuple(command)]

    def cpu_time(self, container: str) -> CpuTime | None:
        """Return the CPU time of a running container, from the use of its program."""
        with self._faults.call("containers.cpu_time"), self._changed:
            found = self._get(container)
            if found is None or found.state != "running" or found.process_started_at is None:
                return None
            now = self._now()
            return CpuTime(found.program.cpu * (now - found.process_started_at).total_seconds(), now.timestamp())

    def cpus(self, container: str) -> int | None:
        """Return the number of processors, or None if the container is gone."""
        with self._faults.call("containers.cpus"):
            return self.processors if self.has(container) else None

    def tar(self, container: str, path: str) -> Iterator[bytes]:
        """Yield a tar of the program's files at a path."""
        with self._faults.call("containers.tar"), self._changed:
            found = self._get(container)
            content = found.program.tar(path) if found else b""
        if content:
            yield content

    def changed_paths(self, container: str) -> frozenset[str]:
        """Return the paths of the program's files and of their folders."""
        with self._faults.call("containers.changed_paths"), self._changed:
            found = self._get(container)
            files = [PurePosixPath(path) for path in found.program.files] if found else []
            return frozenset(str(path) for file in files for path in (file, *file.parents) if path.name)

    def remove_leftovers(self, pipeline: str, running: Callable[[], Collection[int]] = tuple) -> None:
        """Remove containers of tests and release commands whose runs are not in progress."""
        found = [*self.for_pipeline(pipeline, ROLE_TEST), *self.for_pipeline(pipeline, ROLE_RELEASE)]
        networks = self._networks.private(pipeline)
        spared = {str(run) for run in running()}
        for container in found:
            if container.labels.get(LABEL_RUN) not in spared:
                self.remove(container.id)
        for network, labels in networks.items():
            if labels.get(LABEL_RUN) not in spared:
                self._networks.remove_private(network)

    def program_of(self, container: str) -> Program | None:
        """Return the program of a container that runs, without a call of the engine."""
        with self._changed:
            found = self._get(container)
            return found.program if found and found.state == "running" else None

    def program_for(self, container: str, *, commands: Mapping[tuple[str, ...], int]) -> None:
        """Replace the commands that can be executed in a container."""
        with self._changed:
            found = self._existing(container)
            found.program = replace(found.program, commands=commands)

    def specs(self) -> list[ContainerSpec]:
        """Return the specification of each container, in the order of their creation."""
        with self._changed:
            return [found.spec for found in self._containers.values()]

    def has(self, container: str) -> bool:
        """Return whether there is a container of that name or id, without a call of the engine."""
        with self._changed:
            return self._get(container) is not None

    def all(self, pipeline: str) -> list[Container]:
        """Return every container of a pipeline, of any role."""
        wanted = {LABEL_HOME: self._home, LABEL_PIPELINE: pipeline}.items()
        with self._changed:
            return [c.shown(self._now()) for c in self._containers.values() if wanted <= c.labels.items()]

    def exit(self, container: str, code: int = 0, *, oom_killed: bool = False) -> None:
        """End a process from inside. The restart policy applies."""
        with self._changed:
            self._end(self._existing(container), code, oom_killed=oom_killed)

    def print(self, container: str, *lines: str) -> None:
        """Add lines to a container's output."""
        with self._changed:
            self._existing(container).lines.extend(lines)
            self._changed.notify_all()

    def forget(self, container: str) -> None:
        """Remove a container behind the engine's back. Does nothing if there is none."""
        with self._changed:
            if found := self._get(container):
                del self._containers[found.id]
                if found.state == "running":
                    self._on_change(found.spec, SIGKILL_CODE)
                self._changed.notify_all()

    def lose_all(self) -> None:
        """End every process without a restart, as when the daemon is killed."""
        with self._changed:
            for found in self._containers.values():
                if found.state == "running":
                    found.state, found.exit_code, found.finished_at = "exited", SIGKILL_CODE, self._now()
                    self._on_change(found.spec, SIGKILL_CODE)
            self._changed.notify_all()

    def boot(self) -> None:
        """Restart the containers whose restart policies ask for it, as when the daemon starts."""
        with self._changed:
            for found in self._containers.values():
                keeps_stopped = found.stopped_by_hand and found.policy != "always"
                if found.state == "exited" and not keeps_stopped and found.is_restarted_after(found.exit_code):
                    self._begin(found)

    def running(self) -> frozenset[str]:
        """Return the names of the containers that run, without a call of the engine."""
        with self._changed:
            return frozenset(c.spec.name for c in self._containers.values() if c.state == "running")

    def uses(self, image: str) -> bool:
        """Return whether a container was made from an image."""
        with self._changed:
            return any(c.image == image for c in self._containers.values())

    def attached(self, network: str) -> bool:
        """Return whether a running container is in a network."""
        with self._changed:
            running = (c.spec for c in self._containers.values() if c.state == "running")
            return any(network in (spec.network, *spec.options.networks) for spec in running)

    def _begin(self, container: FakeProcess) -> None:
        container.begin(self._now())
        self._on_change(container.spec, None)

    def _end_by_program(self, container: FakeProcess) -> None:
        if container.program.exit_code is not None:
            self._end(container, container.program.exit_code)

    def _end(self, container: FakeProcess, code: int, *, oom_killed: bool = False, by_hand: bool = False) -> None:
        container.stopped_by_hand, container.finished_at = by_hand, self._now()
        container.state, container.exit_code, container.oom_killed = "exited", code, oom_killed
        self._on_change(container.spec, code)
        if not by_hand and container.is_restarted_after(code):
            self._begin(container)
            container.restarts += 1
        self._changed.notify_all()

    def _get(self, container: str) -> FakeProcess | None:
        return next((c for c in self._containers.values() if container in (c.id, c.spec.name)), None)

    def _existing(self, container: str) -> FakeProcess:
        found = self._get(container)
        if found is None:
            raise KeyError(container)
        return found
