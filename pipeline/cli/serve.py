"""`pipeline serve`: the resident runner."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from pipeline.cli.output import show_json, show_line
from pipeline.cli.session import FILE, json_option
from pipeline.errors import ConfigError, ExitCode
from pipeline.home import Home
from pipeline.lock import held

if TYPE_CHECKING:
    from pipeline.server.daemon import Daemon

# What a deployment in progress gets to end when we are asked to, in seconds: less than systemd waits.
_PATIENCE = 80.0
_LEAST_TOKEN = 16


@click.command("serve")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--listen", metavar="HOST:PORT", help="Answer the control API there too; needs --token-file.")
@click.option("--token-file", type=click.Path(path_type=Path), help="A file, of mode 0600, with the API's token.")
@click.option("--webhooks", metavar="HOST:PORT", help="Take webhooks there, at /webhooks/PIPELINE/FORGE.")
@json_option
def command(
    files: tuple[Path, ...], listen: str | None, token_file: Path | None, webhooks: str | None, as_json: bool
) -> None:
    """Run what is new in the repositories of FILES, pipeline.yaml by default, and keep in service what is deployed.

    SIGHUP reads the files again, SIGTERM ends in order: a deployment in progress may end, the rest goes on next time.
    """
    if bool(listen) != bool(token_file):
        raise ConfigError("--listen and --token-file go together", hint="write a long random word into a file")
    serve(files or (Path(FILE),), listen=listen, token_file=token_file, webhooks=webhooks, as_json=as_json)


def serve(
    files: Sequence[Path],
    *,
    listen: str | None = None,
    token_file: Path | None = None,
    webhooks: str | None = None,
    as_json: bool = False,
) -> None:
    """Serve until somebody ends it."""
    import uvicorn

    from pipeline.server.api import ControlApi
    from pipeline.server.control import Control
    from pipeline.server.daemon import Daemon
    from pipeline.server.inbox import ServedInbox
    from pipeline.server.listening import answering, private_socket, public_socket
    from pipeline.server.webhooks import webhook_config
    from pipeline.store.store import Store

    home = Home.locate()
    with ExitStack() as stack:
        stack.enter_context(held(home.serving, "pipeline serve"))
        store = stack.enter_context(Store(home.database))
        daemon = Daemon(home, store, files, [show_json if as_json else show_line])
        control = Control(daemon.attendants, store)
        faces = [(ControlApi(control).app(), private_socket(home.socket))]
        if listen and token_file:
            faces.append((ControlApi(control, _token(token_file)).app(), public_socket(listen)))
        for app, listener in faces:
            config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, ws="none")
            stack.enter_context(answering(config, listener))
        if webhooks:
            inbox = ServedInbox(daemon.attendants, store)
            stack.enter_context(answering(webhook_config(inbox), public_socket(webhooks)))
        for name, attendant in daemon.attendants.items():
            click.echo(f"serving {name} of {attendant.served.file}", err=True)
        _listen_to_signals(daemon)
        daemon.work()
        daemon.close(_PATIENCE)


def _token(file: Path) -> str:
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
