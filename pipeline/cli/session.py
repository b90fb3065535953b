"""What most commands begin with: the file, its parameters, the store, and how what happens is shown."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.output import show_json, show_line
from pipeline.errors import ConfigError
from pipeline.events import Listener
from pipeline.home import Home

if TYPE_CHECKING:
    from pipeline.config.load import Configuration
    from pipeline.runs.runner import Runner
    from pipeline.store.store import Store

FILE = "pipeline.yaml"


def pipeline_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--file` and `-p`, for every command that is about one pipeline."""
    command = click.option(
        "-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Give a parameter its value."
    )(command)
    return click.option(
        "-f", "--file", "file", type=click.Path(path_type=Path), default=FILE, show_default=True, help="The pipeline."
    )(command)


wait_option = click.option(
    "--wait", metavar="DURATION", help="If somebody works on this pipeline, wait for them this long, such as 10m."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")


@dataclass(frozen=True)
class Session:
    """One command's view of a pipeline."""

    home: Home
    configuration: Configuration
    store: Store

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.configuration.pipeline.name

    def runner(self, listeners: Sequence[Listener] = (), cancelled: threading.Event | None = None) -> Runner:
        """What executes the pipeline."""
        from pipeline.runs.runner import Runner

        return Runner(self.home, self.configuration, self.store, listeners, cancelled)


@contextmanager
def session(file: Path, parameters: Sequence[str] = (), *, secrets_needed: bool = False) -> Iterator[Session]:
    """Read the file and open the store. What starts containers needs the secrets; the rest works without."""
    from pipeline.config.load import load
    from pipeline.store.store import Store

    configuration = load(file, dict(split_parameter(p) for p in parameters), secrets_needed=secrets_needed)
    home = Home.locate()
    with Store(home.database) as store:
        yield Session(home, configuration, store)


@contextmanager
def events_shown(opened: Session, *, as_json: bool) -> Iterator[Listener]:
    """The listener that suits where the output goes: a live view on a terminal, else a line an event, or JSON."""
    if as_json:
        yield show_json
    elif sys.stdout.isatty():
        from pipeline.cli.live import LiveView

        with LiveView(opened.home, opened.name) as view:
            yield view.hear
    else:
        yield show_line


@contextmanager
def cancellable() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM end the work in order; a second Ctrl-C ends the process, and the next command cleans up."""
    cancelled = threading.Event()

    def cancel(_: int, __: FrameType | None) -> None:
        cancelled.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        click.echo("cancelling … (Ctrl-C again to leave at once; the next command then cleans up)", err=True)

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
