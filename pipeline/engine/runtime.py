"""The interface of a runtime: what places the replicas of a service and keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from pipeline.engine.labels import DEFAULT_SERVICE


@dataclass(frozen=True)
class Replica:
    """A replica as its runtime shows it. The balancer reaches it at `address:port`, which stay the same over restarts.

    `release` is 0, `template` empty and `port` 0 where the replica does not say: an earlier version of Penstock may
    have started it. `grace` is the time that its own release gives it to stop. `running` is also true while the runtime
    is about to restart it. `started` is when it was created. `running_for` is the age of its process in seconds; None
    if it does not run, or runs for so long that the runtime no longer counts seconds.
    """

    name: str
    service: str
    release: int
    template: str
    host: str
    address: str
    port: int
    running: bool
    started: datetime
    grace: timedelta
    running_for: int | None
    labels: Mapping[str, str]


@dataclass(frozen=True)
class ReplicaSpec:
    """All that a replica is made from. `memory` is in bytes, `cpus` in cores; None sets no limit.

    `port` is the port on which it listens. With `published`, the balancer reaches it by a port of its host; without,
    the runtime decides. `template` identifies everything that replicas of the same kind have in common.
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
    grace: timedelta = timedelta(seconds=10)
    published: bool = False


class RestartPolicy(StrEnum):
    """What the runtime does when a replica's process exits. None of them restarts a replica after `stop`."""

    NO = "no"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"
    UNLESS_STOPPED = "unless-stopped"


class StopResult(StrEnum):
    """How a replica stopped: after SIGTERM, only by SIGKILL, or it did not run any more."""

    TERMINATED = "terminated"
    KILLED = "killed"
    NOT_RUNNING = "not-running"


@dataclass(frozen=True)
class ReplicaEnd:
    """How a replica's last process ended, and how often the runtime restarted it.

    `exit_code` is None while it runs. `process_started_at` is the start of the process that ran last or runs now.
    """

    exit_code: int | None
    oom_killed: bool
    restarts: int
    process_started_at: datetime | None


class Runtime(Protocol):
    """Places and keeps the replicas of one home.

    Order: `prepare`, then any number of the others, then `clear`. Threads: any, with 16 starts at once. Every call may
    be repeated, and `stop`, `set_restart_policy` and `remove` do nothing for a replica that is gone. The caller chooses
    the names, so a start that was cut short is found again in `list`. Raises `EngineFault` if the engine is away or
    refuses, and `StageFailed` if the image cannot be started. Touches only replicas of its own home.
    """

    def prepare(self, pipeline: str) -> None:
        """Create the network that the pipeline's replicas need."""

    def list(self, pipeline: str) -> tuple[Replica, ...]:
        """Return every replica, in any state. Never stale or partial. Callers ask 40 times a second."""

    def start(self, spec: ReplicaSpec) -> None:
        """Start a replica under `spec.name`. It is not restarted before `set_restart_policy`.

        A replica of that name that runs already is left alone. A failed start leaves no replica behind.
        """

    def set_restart_policy(self, name: str, policy: RestartPolicy) -> None:
        """Set what happens when the replica's process exits."""

    def stop(self, name: str, grace: timedelta) -> StopResult:
        """Send SIGTERM, and SIGKILL after `grace`. Returns when the process has exited."""

    def remove(self, name: str) -> None:
        """Remove a replica, running or not. It is in no later `list`."""

    def ended(self, name: str) -> ReplicaEnd | None:
        """Return how the replica's last process ended, or None if the replica is gone."""

    def tail(self, name: str, lines: int = 20) -> tuple[str, ...]:
        """Return the last lines of output, or nothing if the replica is gone."""

    def clear(self, pipeline: str) -> None:
        """Undo `prepare`. Raises `EngineFault` while another program uses the network."""
