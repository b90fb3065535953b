"""A runtime that keeps its replicas in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count

from pipeline.base.clock import SYSTEM, Stamp
from pipeline.base.errors import StageFailed
from pipeline.engine.container import Container, ContainerSpec
from pipeline.engine.host import LOCAL
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, ROLE_APP
from pipeline.engine.runtime import Replica, ReplicaEnd, ReplicaSpec, RestartPolicy, StopResult
from pipeline.testing.fakes.engine import FakeEngine
from pipeline.testing.fakes.program import Program

_KILLED = 137


class FakeRuntime:
    """Replicas in memory. Every image exists, except those in `missing_images`.

    `program` returns the program of each replica; by default one that runs until stopped. `faults` makes calls
    fail, hang or lose their response by the names of the methods. `now` gives the time. `before_end` is called with the
    name of each replica that is about to be stopped or removed while it runs.
    """

    def __init__(
        self,
        *,
        program: Callable[[ReplicaSpec], Program] = lambda _: Program(),
        now: Callable[[], Stamp] = SYSTEM.now,
        before_end: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._specs: dict[str, ReplicaSpec] = {}
        self._engine = FakeEngine(program=lambda spec: program(self._specs[spec.name]), now=lambda: now().wall)
        self._now = now
        self._started: dict[str, Stamp] = {}
        self._containers = self._engine.containers
        self._before_end = before_end
        self.faults = self._engine.faults
        self.missing_images: set[str] = set()
        self.policies: dict[str, RestartPolicy] = {}
        """The restart policy of each replica that was given one."""
        self._ports: dict[str, int] = {}
        self._free_ports = count(20000)

    @property
    def running(self) -> frozenset[str]:
        """The names of the replicas that run, without a call of the runtime."""
        return self._containers.running()

    @property
    def specs(self) -> dict[str, ReplicaSpec]:
        """The spec of each replica that was started, removed ones included."""
        return dict(self._specs)

    @property
    def lost(self) -> tuple[str, ...]:
        """The hosts that are lost: none."""
        return ()

    def prepare(self, pipeline: str) -> None:
        """Create the pipeline's network."""
        with self.faults.call("prepare"):
            self._engine.networks.ensure(pipeline)

    def list(self, pipeline: str) -> tuple[Replica, ...]:
        """Return every replica of the pipeline, in any state."""
        with self.faults.call("list"):
            return tuple(self._replica(container) for container in self._containers.for_pipeline(pipeline))

    def start(self, spec: ReplicaSpec) -> None:
        """Start a replica under `spec.name`, unless one of that name runs already."""
        with self.faults.call("start"):
            found = self._containers.find(spec.name)
            if found and found.is_running:
                return
            if found:
                self._containers.remove(found.id)
            if spec.image in self.missing_images:
                raise StageFailed(f"{spec.name} cannot be started: No such image: {spec.image}")
            self._engine.images.add(spec.image)
            self._specs[spec.name], self._started[spec.name] = spec, self._now()
            if spec.published:
                self._ports[spec.name] = next(self._free_ports)
            labels = {LABEL_PIPELINE: spec.pipeline, LABEL_ROLE: ROLE_APP}
            address = str(self._engine.networks.free_address(spec.pipeline))
            network = self._engine.networks.name(spec.pipeline)
            self._containers.start(
                ContainerSpec(
                    spec.name,
                    spec.image,
                    labels,
                    pids=spec.pids,
                    network=network,
                    address=address,
                    aliases=spec.aliases,
                    privileges=spec.privileges,
                    probe=spec.probe,
                    options=spec.options,
                )
            )

    def set_restart_policy(self, name: str, policy: RestartPolicy) -> None:
        """Set what happens when the replica's process exits."""
        with self.faults.call("set_restart_policy"):
            self._containers.set_restart_policy(name, policy)
            self.policies[name] = policy

    def stop(self, name: str, grace: timedelta) -> StopResult:
        """End a replica by SIGTERM, or immediately by SIGKILL if its program ignores that."""
        with self.faults.call("stop"):
            found = self._containers.find(name)
            if found is None or not found.is_running:
                return StopResult.NOT_RUNNING
            self._before_end(name)
            self._containers.stop(name, grace)
            killed = self._containers.inspect(name).exit_code == _KILLED
            return StopResult.KILLED if killed else StopResult.TERMINATED

    def remove(self, name: str) -> None:
        """Remove a replica, running or not."""
        with self.faults.call("remove"):
            found = self._containers.find(name)
            if found and found.is_running:
                self._before_end(name)
            self._containers.remove(name)

    def ended(self, name: str) -> ReplicaEnd | None:
        """Return how the replica's last process ended, or None if the replica is gone."""
        with self.faults.call("ended"):
            if self._containers.find(name) is None:
                return None
            found = self._containers.inspect(name)
            exit_code = None if found.is_running else found.exit_code
            return ReplicaEnd(exit_code, found.oom_killed, found.restarts, found.process_started_at)

    def tail(self, name: str, lines: int = 20) -> tuple[str, ...]:
        """Return the last lines of output."""
        with self.faults.call("tail"):
            return self._containers.logs(name, lines)

    def clear(self, pipeline: str) -> None:
        """Remove the pipeline's network."""
        with self.faults.call("clear"):
            self._engine.networks.remove(pipeline)

    def exit(self, name: str, code: int = 0, *, oom_killed: bool = False) -> None:
        """End a replica's process from inside. Its restart policy applies."""
        self._containers.exit(name, code, oom_killed=oom_killed)

    def print(self, name: str, *lines: str) -> None:
        """Add lines to a replica's output."""
        self._containers.print(name, *lines)

    def forget(self, name: str) -> None:
        """Remove a replica behind the runtime's back, as another program would."""
        self._containers.forget(name)

    def kill_daemon(self) -> None:
        """End the runtime and every replica's process. Calls fail, those that hang included."""
        self._engine.kill_daemon()

    def start_daemon(self) -> None:
        """Start the runtime again, with the replicas that their restart policies bring back."""
        self._engine.start_daemon()

    def _replica(self, container: Container) -> Replica:
        spec = self._specs[container.name]
        return Replica(
            name=container.name,
            service=spec.service,
            release=spec.release,
            template=spec.template,
            host=LOCAL,
            address="127.0.0.1" if spec.published else container.address,
            port=self._ports.get(spec.name, spec.port),
            running=container.is_running,
            started=self._started[container.name],
            grace=spec.grace,
            running_for=container.running_for,
            labels=container.labels,
            zone=spec.zone,
            health=container.health,
        )
