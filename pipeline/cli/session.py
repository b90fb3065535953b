"""What most commands begin with: the file, its parameters, the store, and how what happens is shown."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.errors import ConfigError, ExitCode
from pipeline.base.home import Home
from pipeline.cli.output import print_event, show_json
from pipeline.events import Event, Listener

if TYPE_CHECKING:
    from pipeline.config.load import Configuration
    from pipeline.http.client import Client
    from pipeline.runner.local import Runner
    from pipeline.store.store import Store

FILE = "pipeline.yaml"
# A live view hides it.
_SHOW_CURSOR = "\x1b[?25h"


parameter_option = click.option(
    "-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Give a parameter its value."
)


def pipeline_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--file` and `-p`, for every command that is about one pipeline."""
    return click.option(
        "-f", "--file", "file", type=click.Path(path_type=Path), default=FILE, show_default=True, help="The pipeline."
    )(parameter_option(command))


wait_option = click.option(
    "--wait", metavar="DURATION", help="If somebody works on this pipeline, wait for them this long, such as 10m."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")


@dataclass(frozen=True)
class Session:
    """One command's view of a pipeline, whose file may be wrong where a command only looks."""

    home: Home
    store: Store
    name: str
    file: Path
    load: Callable[[], Configuration | ConfigError]
    daemon: Client | None = None

    @property
    def loaded(self) -> Configuration | ConfigError:
        """What the file says, or what is wrong in it. To read it takes longer than all else that a look does."""
        return self.load()

    @property
    def configuration(self) -> Configuration:
        """What the file says. Raises `ConfigError` with all that is wrong in it."""
        if isinstance(self.loaded, ConfigError):
            raise self.loaded
        return self.loaded

    def runner(self, listeners: Sequence[Listener] = (), cancelled: threading.Event | None = None) -> Runner:
        """What executes the pipeline."""
        from pipeline.runner.local import Runner

        return Runner(self.home, self.configuration, self.store, listeners, cancelled)


@contextmanager
def session(
    file: Path, parameters: Sequence[str] = (), *, acting: bool = False, secrets_needed: bool = False
) -> Iterator[Session]:
    """Read the file and open the store. What starts containers needs the secrets; the rest works without.

    A file with a mistake in it has a name all the same, and that is all that a look at what happened takes. A command
    that acts has the daemon do it, where one serves the pipeline, with the secrets that the daemon knows.
    """
    from pipeline.config.document import pipeline_name
    from pipeline.store.store import Store

    home = Home.locate()
    name = pipeline_name(file)
    daemon = _daemon(home, name, file) if acting and name else None
    secrets_needed = secrets_needed and daemon is None
    load = cache(partial(_load, file, dict(split_parameter(p) for p in parameters), secrets_needed=secrets_needed))
    if name is None or secrets_needed:
        # A name may hold a reference.
        loaded = load()
        if isinstance(loaded, ConfigError):
            raise loaded
        name = loaded.pipeline.name
    with Store(home.database) as store:
        yield Session(home, store, name, file, load, daemon)


def _load(file: Path, overrides: Mapping[str, str], *, secrets_needed: bool) -> Configuration | ConfigError:
    from pipeline.config.load import load

    try:
        return load(file, overrides, secrets_needed=secrets_needed)
    except ConfigError as error:
        return error


def _daemon(home: Home, name: str, file: Path) -> Client | None:
    """The daemon that serves the pipeline of that name. Raises `ConfigError` when it serves it from another file."""
    if not home.daemon_socket.exists():
        return None
    from pipeline.http.client import Client

    client = Client.find(home, name)
    if client is not None:
        served = Path(client.ask("GET", f"/v1/pipelines/{name}")["file"])
        if served != file.resolve():
            raise ConfigError(
                f"`pipeline serve` serves {name} from {served}, and this is {file.resolve()}",
                hint="give one of the two another name",
            )
    return client


@contextmanager
def event_output(opened: Session, *, as_json: bool) -> Iterator[Listener]:
    """The listener that suits where the output goes: a live view on a terminal, else a line an event, or JSON."""
    if as_json:
        yield ignore_broken_pipe(show_json)
    elif sys.stdout.isatty():
        from pipeline.cli.live import LiveView

        with LiveView(opened.home, opened.name) as view:
            yield view.hear
    else:
        yield ignore_broken_pipe(print_event)


def ignore_broken_pipe(show: Listener) -> Listener:
    """What is going on goes on when whoever read of it has seen enough."""

    def shown(event: Event) -> None:
        try:
            show(event)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return shown


@contextmanager
def handle_interrupts() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM end the work in order; a second Ctrl-C ends the process, and the next command cleans up."""
    cancelled = threading.Event()

    def cancel(_: int, __: FrameType | None) -> None:
        if cancelled.is_set():
            click.echo(_SHOW_CURSOR if sys.stderr.isatty() else "", err=True)
            os._exit(ExitCode.CANCELLED)
        cancelled.set()
        click.echo(
            "cancelling … (Ctrl-C again to leave at once; the daemon, or the next command, then sees to the rest)",
            err=True,
        )

    former = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancelled
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def split_parameter(parameter: str) -> tuple[str, str]:
    """`NAME=VALUE` in two."""
    name, equals, value = parameter.partition("=")
    if not equals:
        raise ConfigError(f"-p {parameter}: write -p NAME=VALUE")
    return name, value


def parse_wait(wait: str | None) -> timedelta:
    """`--wait` as a duration."""
    from pipeline.base.quantity import parse_duration

    try:
        return parse_duration(wait) if wait else timedelta(0)
    except ValueError as error:
        raise ConfigError(f"--wait: {error}") from error
