"""The common start of most commands: the file, its parameters, the store, and the output of events."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.errors import ConfigError, ExitCode
from pipeline.base.home import Home
from pipeline.cli.chosen_service import load_service, service_names, service_pipeline
from pipeline.cli.output import print_event, show_json
from pipeline.cli.user import current_user
from pipeline.events import Event, Listener

if TYPE_CHECKING:
    from pipeline.config.load import Configuration
    from pipeline.http.client import Client, Daemon
    from pipeline.runner.local import Runner
    from pipeline.store.store import Store

FILE = "pipeline.yaml"
# A live view hides the cursor.
_SHOW_CURSOR = "\x1b[?25h"


parameter_option = click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter. `-p NAME` selects a pipeline of the home instead of a file.",
)

file_option = click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(path_type=Path),
    default=FILE,
    show_default=True,
    help="File of the pipeline.",
)
wait_option = click.option(
    "--wait", metavar="DURATION", help="Maximum wait for another process on this pipeline, such as 10m."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def pipeline_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--file` and `-p` to a command that works on one pipeline."""
    return file_option(parameter_option(command))


@dataclass(frozen=True)
class Session:
    """A command's access to a pipeline. Its file may be invalid if the command only reads.

    `parameters` are those of the command line.
    """

    home: Home
    name: str
    parameters: Mapping[str, str]
    load: Callable[[], Configuration | ConfigError]
    open_store: Callable[[], Store]
    daemon: Client | None = None

    @property
    def store(self) -> Store:
        """The store, opened on first use: a command that leaves its work to the daemon needs none."""
        return self.open_store()

    @property
    def loaded(self) -> Configuration | ConfigError:
        """The configuration, or the error of an invalid file. Loaded on first use, since it is slow."""
        return self.load()

    @property
    def configuration(self) -> Configuration:
        """The configuration. Raises `ConfigError` with every mistake in the file."""
        if isinstance(self.loaded, ConfigError):
            raise self.loaded
        return self.loaded

    @property
    def user(self) -> str:
        """The user of the shell, who acts by this command."""
        return current_user()

    def runner(self, listeners: Sequence[Listener] = (), cancelled: threading.Event | None = None) -> Runner:
        """Return a runner of the pipeline."""
        from pipeline.runner.local import Runner

        return Runner(
            self.home,
            self.configuration,
            self.store,
            listeners,
            cancelled,
            parameters=self.parameters,
            by=self.user,
        )


@contextmanager
def session(
    file: Path, parameters: Sequence[str] = (), *, acting: bool = False, secrets_needed: bool = False
) -> Iterator[Session]:
    """Read the file and open the store. Only commands that start containers need the secrets.

    Commands that only read need just the pipeline's name, which an invalid file may have as well. With `acting`, the
    session has a client of the daemon that manages the pipeline. The daemon then uses its own secrets.
    """
    home = Home.locate()
    if service := _selected_service(home, parameters):
        if acting:
            raise ConfigError(
                f"{service} is the pipeline of a service that a stack has made",
                hint="change it with `pipeline stack update` or `aws ecs update-service`",
            )
        with ExitStack() as stack:
            open_store = cache(partial(_open_store, home, stack))
            yield Session(home, service, {}, cache(lambda: load_service(home, open_store(), service)), open_store)
        return
    file, parameters = located(home, file, parameters)
    served = _find_daemon(home) if acting else None
    daemon = served.client_of(file) if served else None
    name = daemon.pipeline if daemon else None
    if daemon is None:
        from pipeline.config.document import pipeline_name

        name = pipeline_name(file)
        daemon = _client(served, name, file) if served else None
    secrets_needed = secrets_needed and daemon is None
    given = dict(split_parameter(parameter) for parameter in parameters)
    load = cache(partial(_load, file, given, secrets_needed=secrets_needed))
    if name is None or secrets_needed:
        # The name may contain a reference.
        loaded = load()
        if isinstance(loaded, ConfigError):
            raise loaded
        name = loaded.pipeline.name
    with ExitStack() as stack:
        yield Session(home, name, given, load, cache(partial(_open_store, home, stack)), daemon)


def located(home: Home, file: Path, parameters: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """Return the file of the pipeline that `-p NAME` selects, else `file`, and the parameters that have a value.

    Raises `ConfigError` if the home has no such pipeline, or if its file is gone.
    """
    name = _selected(parameters)
    if name is None:
        return file, parameters
    files = _files(home)
    if name not in files:
        from pipeline.base.suggestion import did_you_mean

        known = [*files, *service_names(home)]
        hints = filter(None, ("a parameter has the form NAME=VALUE", did_you_mean(name, known)))
        raise ConfigError(f"-p {name}: this home has no pipeline of this name", hint="; ".join(hints))
    if not files[name].exists():
        raise ConfigError(
            f"-p {name}: its file {files[name]} is gone", hint="name the file that replaces it with --file"
        )
    if str(file) != FILE:
        raise ConfigError(f"-p {name} and the file {file} exclude each other", hint="give one of the two")
    return files[name], [parameter for parameter in parameters if "=" in parameter]


def _selected_service(home: Home, parameters: Sequence[str]) -> str | None:
    """Return the pipeline of the service that `-p NAME` selects. A pipeline of this name goes before a service."""
    name = _selected(parameters)
    return None if name is None or name in _files(home) else service_pipeline(home, name)


def _selected(parameters: Sequence[str]) -> str | None:
    return next((parameter for parameter in reversed(parameters) if "=" not in parameter), None)


def _files(home: Home) -> Mapping[str, Path]:
    """Return the file of each pipeline of a home."""
    from pipeline.store.store import Store

    with Store(home.database) as store:
        return store.pipelines.files()


def _open_store(home: Home, stack: ExitStack) -> Store:
    from pipeline.store.store import Store

    return stack.enter_context(Store(home.database))


def _load(file: Path, overrides: Mapping[str, str], *, secrets_needed: bool) -> Configuration | ConfigError:
    from pipeline.config.load import load

    try:
        return load(file, overrides, secrets_needed=secrets_needed)
    except ConfigError as error:
        return error


def _find_daemon(home: Home) -> Daemon | None:
    """Return the daemon of a home, or None. Raises `SystemFault` if it is stopped or too old."""
    if not home.daemon_socket.exists():
        return None
    # Imported only if there may be a daemon, since it is slow.
    from pipeline.http.client import Daemon

    return Daemon.find(home)


def _client(daemon: Daemon, name: str | None, file: Path) -> Client | None:
    """Return a client for the pipeline, or None if the daemon does not manage it.

    Raises `ConfigError` if the daemon uses another file for the pipeline.
    """
    client = daemon.client(name)
    if client is not None and daemon.files.get(client.pipeline) != str(file.resolve()):
        raise ConfigError(
            f"the daemon manages {name} from {daemon.files.get(client.pipeline)}, but this file is {file.resolve()}",
            hint="rename one of the two pipelines",
        )
    return client


@contextmanager
def event_output(opened: Session, *, as_json: bool) -> Iterator[Listener]:
    """Yield a listener for the output: a live view on a terminal, JSON, or one line per event."""
    if as_json:
        yield ignore_broken_pipe(show_json)
    elif sys.stdout.isatty():
        from pipeline.cli.live import LiveView

        with LiveView(opened.home, opened.name) as view:
            yield view.on_event
    else:
        yield ignore_broken_pipe(print_event)


def ignore_broken_pipe(show: Listener) -> Listener:
    """Wrap a listener so that the run continues after the reader of its output has exited."""

    def shown(event: Event) -> None:
        try:
            show(event)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return shown


@contextmanager
def handle_interrupts() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set. A second Ctrl-C exits immediately, and the next command recovers."""
    from pipeline.base.interrupt import interrupt, interruptible

    cancelled = threading.Event()

    def cancel(_: int, __: FrameType | None) -> None:
        if cancelled.is_set():
            click.echo(_SHOW_CURSOR if sys.stderr.isatty() else "", err=True)
            os._exit(ExitCode.CANCELLED)
        cancelled.set()
        interrupt()
        click.echo(
            "cancelling … (Ctrl-C again to exit immediately; the daemon or the next command then recovers)",
            err=True,
        )

    previous = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with interruptible():
            yield cancelled
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def split_parameter(parameter: str) -> tuple[str, str]:
    """Split `NAME=VALUE`. Raises `ConfigError` without an equals sign."""
    name, equals, value = parameter.partition("=")
    if not equals:
        raise ConfigError(f"-p {parameter}: must have the form NAME=VALUE")
    return name, value


def parse_wait(wait: str | None) -> timedelta:
    """Return `--wait` as a duration, zero if it is not set."""
    if not wait:
        return timedelta(0)
    from pipeline.base.quantity import parse_duration

    try:
        return parse_duration(wait)
    except ValueError as error:
        raise ConfigError(f"--wait: {error}") from error
