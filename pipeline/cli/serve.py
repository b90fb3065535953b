"""`pipeline serve`: the resident runner."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.errors import ConfigError, ExitCode, LockHeld
from pipeline.base.home import Home
from pipeline.base.lock import held
from pipeline.cli.output import show_json, show_whole
from pipeline.cli.session import FILE, json_option, parameter_option, split_parameter, while_somebody_reads
from pipeline.events import Event

if TYPE_CHECKING:
    from pipeline.daemon.daemon import Daemon

# What a deployment in progress gets to end when we are asked to, in seconds: less than systemd waits.
PATIENCE = 80.0
_LEAST_TOKEN = 16


def serving_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is served, and where the daemon answers."""
    for option in (
        click.option(
            "--public",
            metavar="HOST:PORT",
            help="Take webhooks there, at /webhooks/PIPELINE/FORGE, and show /badge/PIPELINE.svg and /cc.xml.",
        ),
        click.option("--token-file", type=click.Path(path_type=Path), help="A file, mode 0600, with the API's token."),
        click.option("--listen", metavar="HOST:PORT", help="Answer the control API there too; needs --token-file."),
        click.argument("files", nargs=-1, type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


@click.command("serve")
@serving_options
@parameter_option
@json_option
def command(
    files: tuple[Path, ...],
    listen: str | None,
    token_file: Path | None,
    public: str | None,
    parameters: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run what is new in the repositories of FILES, pipeline.yaml by default, and keep in service what is deployed.

    SIGHUP reads the files again, SIGTERM ends in order: a deployment in progress may end, the rest goes on next time.
    """
    if bool(listen) != bool(token_file):
        raise ConfigError("--listen and --token-file go together", hint="write a long random word into a file")
    if parameters and len(files) > 1:
        raise ConfigError("-p goes with one FILE", hint="give the parameters of the others defaults")
    serve(
        files or (Path(FILE),),
        listen=listen,
        token_file=token_file,
        public=public,
        parameters=parameters,
        as_json=as_json,
    )


def serve(
    files: Sequence[Path],
    *,
    listen: str | None = None,
    token_file: Path | None = None,
    public: str | None = None,
    parameters: Sequence[str] = (),
    as_json: bool = False,
) -> None:
    """Serve until somebody ends it."""
    from pipeline.base.logging import keep_journal
    from pipeline.daemon.daemon import Daemon, share_one_arena
    from pipeline.store.store import Store

    share_one_arena()
    keep_journal(as_json=as_json)
    home = Home.locate()
    with ExitStack() as stack:
        _be_the_only_one(home, stack)
        store = stack.enter_context(Store(home.database))
        show = show_json if as_json else _show_pipeline if len(files) > 1 else show_whole
        daemon = Daemon(home, store, files, [while_somebody_reads(show)], dict(split_parameter(p) for p in parameters))
        _answer(daemon, stack, listen, token_file)
        if public:
            _be_public(daemon, stack, public)
        for name, attendant in daemon.attendants.items():
            click.echo(f"serving {name} of {attendant.served.file}", err=True)
        _listen_to_signals(daemon)
        _notify_systemd()
        daemon.work()
        daemon.close(PATIENCE)


def _answer(daemon: Daemon, stack: ExitStack, listen: str | None, token_file: Path | None) -> None:
    from pipeline.base.sockets import private_socket
    from pipeline.daemon.control import Control
    from pipeline.http.api import ControlApi
    from pipeline.http.serving import answering, control_config, public_socket

    control = Control(daemon.attendants, daemon.store)
    faces = [(ControlApi(control).app(), private_socket(daemon.home.socket))]
    if listen and token_file:
        faces.append((ControlApi(control, read_token(token_file)).app(), public_socket(listen)))
    for app, listener in faces:
        stack.enter_context(answering(control_config(app), listener))


def _be_public(daemon: Daemon, stack: ExitStack, address: str) -> None:
    from pipeline.http.inbox import ServedInbox
    from pipeline.http.public import public_config
    from pipeline.http.serving import answering, public_socket

    inbox = ServedInbox(daemon.attendants, daemon.store)
    config = public_config(inbox, daemon.store, daemon.attendants)
    stack.enter_context(answering(config, public_socket(address)))


def _be_the_only_one(home: Home, stack: ExitStack) -> None:
    try:
        stack.enter_context(held(home.serving, "pipeline serve"))
    except LockHeld as error:
        hint = f"one process serves all pipelines of {home.root}: end it, and start it with this file too"
        raise LockHeld(error.message, hint=hint) from None


def _show_pipeline(event: Event) -> None:
    """A line that says which of several pipelines it is about."""
    show_whole(replace(event, message=f"{event.pipeline}: {event.message}"))


def _notify_systemd() -> None:
    """Where a unit of systemd started us: from now on we answer. Nobody whom we start shall say so in our place."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", address.replace("@", "\0", 1) if address.startswith("@") else address)


def read_token(file: Path) -> str:
    """The token in a file. Raises `ConfigError` where it is none, or others could read it."""
    try:
        if file.stat().st_mode & 0o177:
            raise ConfigError(f"{file}: others could read the token", hint=f"chmod 600 {file}")
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
    if len(token) < _LEAST_TOKEN:
        raise ConfigError(
            f"{file}: a token has {_LEAST_TOKEN} characters or more", hint="openssl rand -hex 32 makes one"
        )
    return token


def _listen_to_signals(daemon: Daemon) -> None:
    def end(_: int, __: FrameType | None) -> None:
        # A second time means now: whoever comes next finishes what we leave.
        signal.signal(signal.SIGINT, lambda *_: os._exit(ExitCode.CANCELLED))
        click.echo("ending … (Ctrl-C again to end at once)", err=True)
        daemon.end()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, lambda *_: daemon.reload())
