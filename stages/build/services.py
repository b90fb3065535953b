"""The services that run beside the tests, such as databases. They start before the tests and are removed with them."""

from __future__ import annotations

import secrets as randomness
from contextlib import ExitStack
from datetime import timedelta
from typing import Self

from pipeline.api import StageContext
from pipeline.base.quantity import format_duration
from pipeline.config.privileges import pids
from pipeline.config.steps import Readiness, TestService
from pipeline.engine.container import Container, ContainerSpec
from pipeline.engine.denial import denial_hint
from pipeline.engine.interfaces import Engine
from pipeline.engine.labels import LABEL_PIPELINE, LABEL_ROLE, LABEL_RUN, ROLE_TEST
from pipeline.engine.task import Task
from pipeline.event_kinds import EventKind
from stages.build.failures import ServiceFailed
from stages.build.readiness import probe

_LOOK = timedelta(seconds=0.05)


class Services:
    """The services of one attempt of the tests, in a private network. Their images have been pulled.

    Entering its block starts them and waits until they are ready. Leaving the block removes them and the network.
    Raises `ServiceFailed` with the last lines of a service that did not become ready.
    """

    def __init__(self, context: StageContext, engine: Engine, services: dict[str, TestService]) -> None:
        self._context = context
        self._engine = engine
        self._services = services
        self._pipeline = context.configuration.pipeline.name
        self._tasks: dict[str, Task] = {}
        self._leaving = ExitStack()
        self.network = ""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.network = self._engine.networks.create_private(self._pipeline, self._context.run)
            stack.callback(self._engine.networks.remove_private, self.network)
            for name, service in self._services.items():
                self._tasks[name] = stack.enter_context(self._task(name, service))
            started = self._context.clock.monotonic()
            for name in self._services:
                self._await_ready(name, started)
            self._leaving = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.close()

    def check(self) -> None:
        """Raise `ServiceFailed` if one of them has exited."""
        states = {c.id: c.state for c in self._engine.containers.for_pipeline(self._pipeline, ROLE_TEST)}
        for name, task in self._tasks.items():
            if states.get(task.container) != "running":
                raise self._failed(name, f"service {name} {self._end(name, task.inspect())} while the tests ran")

    def _task(self, name: str, service: TestService) -> Task:
        run = str(self._context.run)
        spec = ContainerSpec(
            name=f"{self._pipeline}.test{run}.{randomness.token_hex(3)}.{name}",
            image=service.image,
            labels={LABEL_PIPELINE: self._pipeline, LABEL_ROLE: ROLE_TEST, LABEL_RUN: run},
            command=service.command,
            entrypoint=service.entrypoint,
            environment=self._context.configuration.secrets.resolve_all(service.environment),
            memory=service.memory,
            init=service.init,
            shm_size=service.shm_size,
            pids=pids(service.pids_limit),
            privileges=service.privileges,
            options=service.container_options,
            network=self.network,
            aliases=(name,),
            low_priority=True,
        )
        return Task(self._engine.containers, spec, lambda line: self._context.log.line(f"service:{name}", line))

    def _await_ready(self, name: str, started: float) -> None:
        task, readiness = self._tasks[name], self._services[name].readiness
        ready = probe(self._engine, task, self._services[name], self._context.cancelled)
        deadline = started + readiness.timeout.total_seconds()
        while True:
            now = task.inspect()
            if now.state != "running":
                raise self._failed(name, f"service {name} {self._end(name, now)} before it was ready")
            if ready():
                break
            self._context.check_cancelled()
            if self._context.clock.monotonic() > deadline:
                limit = format_duration(readiness.timeout)
                raise self._failed(name, f"service {name} was not ready within {limit}: {_refusal(readiness)}")
            self._context.clock.wait(self._context.cancelled, _LOOK)
        seconds = round(self._context.clock.monotonic() - started, 3)
        self._context.events.emit(
            EventKind.SERVICE_READY, f"service {name} is ready after {seconds:.1f} s", service=name, seconds=seconds
        )

    def _end(self, name: str, container: Container) -> str:
        limit = f"more than {self._services[name].memory >> 20} MiB, build.test.services.{name}.memory"
        if container.ran_out_of_memory:
            return f"was killed (it used {limit})"
        child = f" (one of its processes was killed: it used {limit})"
        return f"exited with code {container.exit_code}{child * container.oom_killed}"

    def _failed(self, name: str, message: str) -> ServiceFailed:
        service, tail = self._services[name], self._tasks[name].tail
        section = f"build.test.services.{name}"
        hint = denial_hint(tail, section, service.privileges, pids(service.pids_limit))
        return ServiceFailed(message, hint=hint, tail=tail)


def _refusal(readiness: Readiness) -> str:
    if readiness.tcp is not None:
        return f"port {readiness.tcp} does not accept connections"
    if readiness.http is not None:
        return f"{readiness.http} does not return 2xx or 3xx"
    if readiness.command is not None:
        return f"{' '.join(readiness.command)} does not exit with 0"
    return "the HEALTHCHECK of its image does not exit with 0"
