"""The application of a pipeline as its commands see it: its containers, found without the time that a file takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.errors import ConfigError, EngineFault
from pipeline.base.home import Home
from pipeline.base.lock import is_held
from pipeline.base.suggestion import did_you_mean
from pipeline.cli.session import located, session
from pipeline.config.name_line import name_in_lines
from pipeline.engine.console import Console, abandoned
from pipeline.engine.container import Container
from pipeline.engine.hosts import local_console
from pipeline.engine.labels import DEFAULT_SERVICE, LABEL_RELEASE, LABEL_ROLE, LABEL_SERVICE, ROLE_APP
from pipeline.store.database import Database
from pipeline.store.releases import Releases
from pipeline.store.services import job_names

if TYPE_CHECKING:
    from pipeline.cli.missing_hosts import MissingHosts


class CommandOfContainer(click.Command):
    """A command of `pipeline` whose last arguments, after `--`, are a command for a container: `ctx.obj`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split at the first `--`."""
        end = args.index("--") if "--" in args else len(args)
        ctx.obj = tuple(args[end + 1 :])
        return super().parse_args(ctx, args[:end])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the pieces of the usage line."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


@dataclass(frozen=True)
class App:
    """The application of one pipeline."""

    home: Home
    pipeline: str
    active: int | None
    """The active release."""
    console: Console
    jobs: tuple[str, ...] = ()
    """The jobs of the active release."""

    @cached_property
    def hosts(self) -> MissingHosts:
        """What tells the user which hosts do not answer."""
        # Of no use to most commands, which have to start soon.
        from pipeline.cli.missing_hosts import MissingHosts

        return MissingHosts()

    def replica(self, service: str | None, name: str | None = None, *, running: bool) -> Container:
        """Return a replica, preferably one of the active release that runs. The oldest of them.

        `name` is that of a replica, or its end. Raises `ConfigError` if there is none, and none that runs if `running`.
        """
        if service in self.jobs:
            raise ConfigError(
                f"{service} is a job, of which no container runs all the time",
                hint=f"`pipeline job run {service}` runs it now; name another service for a command of your own",
            )
        found = self.console.containers(self.pipeline)
        for left in abandoned(found, lambda name: is_held(self.home.lock(name))):
            self.console.remove(left.id)
            self.home.lock(left.name).unlink(missing_ok=True)
        replicas = self._of_service([each for each in found if each.labels.get(LABEL_ROLE) == ROLE_APP], service)
        if name is not None:
            replicas = self._named(replicas, name)
        missing = self.console.missing
        ready = [each for each in replicas if each.state == "running" or not running]
        if not ready and missing:
            raise _elsewhere(f"no replica of {self.pipeline} runs on the hosts that answer", missing)
        if not ready:
            raise ConfigError(
                f"no replica of {self.pipeline} runs" if replicas or running else f"{self.pipeline} has no replica",
                hint="`pipeline status` shows what runs; `pipeline run` deploys",
            )
        active = str(self.active)
        ready.sort(key=lambda each: (each.labels.get(LABEL_RELEASE) != active, not each.is_running, each.created_at))
        return ready[0]

    def _of_service(self, replicas: list[Container], service: str | None) -> list[Container]:
        services = {each.labels.get(LABEL_SERVICE, DEFAULT_SERVICE) for each in replicas}
        if service is None and len(services) > 1:
            raise ConfigError(f"{self.pipeline} has several services", hint=f"name one: {', '.join(sorted(services))}")
        if service is not None and replicas and service not in services and not self.console.missing:
            raise ConfigError(f"no replica is of service {service}", hint=did_you_mean(service, services))
        return [each for each in replicas if service in (None, each.labels.get(LABEL_SERVICE, DEFAULT_SERVICE))]

    def _named(self, replicas: Sequence[Container], name: str) -> list[Container]:
        found = [each for each in replicas if each.name == name or each.name.endswith(f".{name}")]
        if not found and self.console.missing:
            raise _elsewhere(f"{self.pipeline} has no replica {name} on the hosts that answer", self.console.missing)
        if not found:
            names = ", ".join(each.name for each in replicas)
            raise ConfigError(f"{self.pipeline} has no replica {name}", hint=f"its replicas: {names or 'none'}")
        return found


@contextmanager
def app_of(file: Path, parameters: Sequence[str]) -> Iterator[App]:
    """Yield the application of a pipeline. Its file may be invalid."""
    home = Home.locate()
    file, given = located(home, file, parameters)
    name = None if given else _certain_name(file)
    if name is None:
        with session(file, given) as opened:
            name = opened.name
    with closing(Database(home.database)) as database:
        releases = Releases(database)
        active = releases.active(name)
        console = _console_of_hosts(home, database, name) if releases.has_cluster(name) else local_console(home.id)
    with closing(console):
        jobs = job_names(active.spec) if active else ()
        yield App(home, name, active.number if active else None, console, jobs)


def _console_of_hosts(home: Home, database: Database, pipeline: str) -> Console:
    # Of no use to most commands, which have to start soon.
    from pipeline.engine.cluster_members import console_of
    from pipeline.store.clusters import Clusters

    return console_of(Clusters(database).of(pipeline), home.id, home.hosts)


def _elsewhere(text: str, missing: Mapping[str, EngineFault]) -> EngineFault:
    """Return the error for a replica that may be on hosts which do not answer."""
    names = ", ".join(missing)
    reasons = "; ".join(fault.reason(host) for host, fault in missing.items())
    return EngineFault(f"{text}, and {names} {'does' if len(missing) == 1 else 'do'} not answer: {reasons}")


def _certain_name(file: Path) -> str | None:
    with suppress(OSError):
        return name_in_lines(file.read_bytes())
    return None


def command_of(context: click.Context) -> tuple[Any, ...]:
    """Return the command for the container, empty without one."""
    return tuple(context.obj or ())
