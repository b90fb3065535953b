"""The interface of a runtime, which runs the replicas of services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from pipeline.base.clock import Stamp
from pipeline.engine.container import ContainerHealth, HealthProbe, LogLimit, Privileges, ran_out_of_memory
from pipeline.engine.container_options import ContainerOptions
from pipeline.engine.labels import DEFAULT_SERVICE
from pipeline.engine.swarm_options import SwarmOptions


@dataclass(frozen=True)
class Replica:
    """A replica as reported by its runtime. The balancer reaches it at `address:port`.

    These stay the same over restarts, unless the runtime restarts it elsewhere. Until it runs there, it has none.

    `health` is the result of its probe, None without one. `is_leaving`: its host takes no replicas, so it is to be
    replaced elsewhere.

    `release` is 0, `template` empty and `port` 0 if unknown, because an earlier version of Penstock may have started
    it. `grace` is the time to stop that its release sets. `running` is also true while the runtime is about to restart
    it. `started` is the time of its creation, without a boot if an earlier version of
    Penstock started it. `running_for` is the age of its process in seconds. It is None if the
    replica does not run, or has run for so long that the runtime no longer counts seconds.
    """

    name: str
    service: str
    release: int
    template: str
    host: str
    address: str
    port: int
    running: bool
    started: Stamp
    grace: timedelta
    running_for: int | None
    labels: Mapping[str, str]
    zone: str | None = None
    health: ContainerHealth | None = None
    is_leaving: bool = False


class RestartPolicy(StrEnum):
    """The policy for a replica whose process exits. None of them restarts a replica after `stop`."""

    NO = "no"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"
    UNLESS_STOPPED = "unless-stopped"


@dataclass(frozen=True)
class ReplicaSpec:
    """The specification of a replica. `memory` is in bytes, `cpus` in cores, `pids` counts processes and threads.

    None sets no limit. It listens on `port`, or on none that matters if that is 0. `probe` checks its health from
    inside. With `published`, the balancer reaches it at a port of its host. Otherwise the runtime decides. `forwarded`:
    the protocols, tcp or udp, of what the kernel forwards to its port. It is in `zone`, or in none. `aliases` are its
    host names in the pipeline's network. `template` identifies the settings that equal replicas share. `restart` is
    the policy that `set_restart_policy` will set: a Swarm needs it at the start. `swarm` counts on a Swarm only.
    `outgoing` names replicas that are being replaced, which do not count where it is spread among equal ones.
    """

    pipeline: str
    release: int
    run: int
    template: str
    image: str
    port: int
    name: str = ""
    service: str = DEFAULT_SERVICE
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    memory: int | None = None
    cpus: float | None = None
    init: bool = False
    shm_size: int | None = None
    pids: int | None = None
    privileges: Privileges = field(default_factory=Privileges)
    log: LogLimit | None = None
    grace: timedelta = timedelta(seconds=10)
    published: bool = False
    forwarded: tuple[str, ...] = ()
    zone: str | None = None
    aliases: tuple[str, ...] = ()
    probe: HealthProbe | None = None
    options: ContainerOptions = field(default_factory=ContainerOptions)
    restart: RestartPolicy = RestartPolicy.ALWAYS
    swarm: SwarmOptions = field(default_factory=SwarmOptions)
    outgoing: frozenset[str] = frozenset()


class StopResult(StrEnum):
    """The result of a stop: terminated by SIGTERM, killed by SIGKILL, or not running before."""

    TERMINATED = "terminated"
    KILLED = "killed"
    NOT_RUNNING = "not-running"


@dataclass(frozen=True)
class ReplicaEnd:
    """The end of a replica's last process, and the number of its restarts by the runtime.

    `exit_code` is None while it runs. `process_started_at` is the start of the current or last process.
    """

    exit_code: int | None
    oom_killed: bool
    restarts: int
    process_started_at: datetime | None

    @property
    def ran_out_of_memory(self) -> bool:
        """True if the replica's own process was killed for its memory limit, and not only a child of it."""
        return ran_out_of_memory(self.oom_killed, self.exit_code)


class Runtime(Protocol):
    """A runtime for the replicas of one home.

    Order: `prepare`, then any number of the others, then `clear`. Threads: any, with up to 16 concurrent starts. Every
    call may be repeated, and `stop`, `set_restart_policy` and `remove` do nothing for a replica that is gone. The
    caller chooses the names, so `list` shows a replica whose start was interrupted. Raises `EngineFault` if the engine
    is unreachable or refuses, and `StageFailed` if the image cannot be started. Changes only replicas of its home.
    """

    @property
    def lost(self) -> tuple[str, ...]:
        """The names of the hosts that have not answered for so long that their replicas are not listed."""

    def prepare(self, pipeline: str) -> None:
        """Create the network that the pipeline's replicas need."""

    def list(self, pipeline: str) -> tuple[Replica, ...]:
        """Return every replica, in any state. Never stale or partial. Cheap enough to call 40 times a second."""

    def start(self, spec: ReplicaSpec) -> None:
        """Start a replica under `spec.name`. It is not restarted before `set_restart_policy`.

        Does nothing if a replica of that name runs already. A failed start leaves no replica behind.
        """

    def set_restart_policy(self, name: str, policy: RestartPolicy) -> None:
        """Set what happens when the replica's process exits."""

    def stop(self, name: str, grace: timedelta) -> StopResult:
        """Send SIGTERM, and SIGKILL after `grace`. Returns when the process has exited.

        A runtime that cannot set the time at the stop uses that of the specification instead.
        """

    def remove(self, name: str) -> None:
        """Remove a replica, running or not. Later calls of `list` do not show it."""

    def ended(self, name: str) -> ReplicaEnd | None:
        """Return how the replica's last process ended, or None if the replica is gone."""

    def tail(self, name: str, lines: int = 20) -> tuple[str, ...]:
        """Return the last lines of output, or nothing if the replica is gone."""

    def clear(self, pipeline: str) -> None:
        """Undo `prepare`. Raises `EngineFault` while another program uses the network."""
