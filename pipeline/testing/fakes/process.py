"""A container in memory, with the process of its program."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pipeline.engine.container import Container, ContainerHealth, ContainerSpec
from pipeline.engine.labels import LABEL_HOME
from pipeline.testing.fakes.program import Program

# An engine's list shows seconds for young processes only.
_SECONDS_SHOWN = 60


@dataclass
class FakeProcess:
    """One container and its last process, in an engine of a home."""

    id: str
    spec: ContainerSpec
    image: str
    program: Program
    created_at: datetime
    address: str
    home: str
    state: str = "created"
    policy: str = "no"
    process_started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    oom_killed: bool = False
    restarts: int = 0
    stopped_by_hand: bool = False
    lines: list[str] = field(default_factory=list)
    networks: dict[str, int | None] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        """Those of the engine."""
        return {**self.spec.options.labels, **self.spec.labels, LABEL_HOME: self.home}

    def begin(self, now: datetime) -> None:
        """Begin a process of the program."""
        self.state, self.process_started_at, self.exit_code, self.oom_killed = "running", now, 0, False
        self.lines.extend(self.program.lines)

    def is_restarted_after(self, code: int) -> bool:
        """Return whether the restart policy starts another process after this exit code."""
        return self.policy in ("always", "unless-stopped") or (self.policy == "on-failure" and code != 0)

    def shown(self, now: datetime, *, full: bool = False) -> Container:
        """Return the container as a list shows it, or in full as `inspect` does."""
        running = self.state == "running"
        age = int((now - self.process_started_at).total_seconds()) if running and self.process_started_at else None
        return Container(
            id=self.id,
            name=self.spec.name,
            state=self.state,
            image=self.image,
            labels=self.labels,
            address=self.address,
            created_at=self.created_at,
            running_for=age if age is not None and age < _SECONDS_SHOWN else None,
            exit_code=self.exit_code if full else None,
            oom_killed=self.oom_killed if full else False,
            process_started_at=self.process_started_at if full else None,
            finished_at=self.finished_at if full and not running else None,
            restarts=self.restarts if full else 0,
            mounts=self._mounts if full else (),
            health=self._health(now) if running else None,
        )

    def _health(self, now: datetime) -> ContainerHealth | None:
        """Return what the last probe that is due has found. The first one is due after the probe's interval."""
        probe, started = self.spec.probe, self.process_started_at
        command = (probe.command or self.program.healthcheck) if probe else None
        if probe is None or command is None or started is None:
            return None
        runs = (now - started) // probe.interval
        if not runs:
            return ContainerHealth.STARTING
        if self.program.commands.get(command) == 0:
            return ContainerHealth.HEALTHY
        failures = runs - probe.start_period // probe.interval
        return ContainerHealth.UNHEALTHY if failures >= probe.threshold else ContainerHealth.STARTING

    @property
    def _mounts(self) -> tuple[str, ...]:
        return (*(volume.split(":")[1] for volume in self.spec.volumes), *self.program.mounts)
