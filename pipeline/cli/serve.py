"""`pipeline serve`: the daemon."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from pipeline.base.clock import SYSTEM
from pipeline.base.errors import ConfigError, ExitCode, LockHeld, SystemFault
from pipeline.base.home import Home
from pipeline.base.lock import work_lock
from pipeline.cli.aws_endpoint import aws_options, aws_server, check_aws_options
from pipeline.cli.output import print_event_with_reason, show_json
from pipeline.cli.session import FILE, ignore_broken_pipe, json_option, parameter_option, split_parameter
from pipeline.cli.web_server import web_server
from pipeline.events import Event

if TYPE_CHECKING:
    import uvicorn

    from pipeline.daemon.daemon import Daemon
    from pipeline.daemon.watchdog import Watchdog

# In seconds, for a deployment in progress when the daemon stops. Less than the timeout of the systemd unit.
SHUTDOWN_TIMEOUT = 80.0
_MIN_TOKEN_LENGTH = 16
# What libraries of the daemon import if it is installed, for tracebacks in color and to guess the encoding of text. It
# takes 8 MB.
_UNUSED_PACKAGES = {"structlog": ("rich",), "requests": ("chardet", "charset_normalizer")}


def serving_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the files and the addresses of the daemon to a command."""
    for option in (
        aws_options,
        click.option(
            "--dns", metavar="HOST:PORT", help="Address of a DNS server for the load balancers' names in elb.internal."
        ),
        click.option(
            "--public",
            metavar="HOST:PORT",
            help="Public address for webhooks (/webhooks/PIPELINE/FORGE), badges (/badge/PIPELINE.svg) and /cc.xml.",
        ),
        click.option(
            "--web",
            metavar="HOST:PORT",
            help="Address of the web interface. `pipeline web login` gives access.",
        ),
        click.option("--token-file", type=click.Path(path_type=Path), help="File with the API's token, mode 0600."),
        click.option(
            "--listen", metavar="HOST:PORT", help="Address of the control API over TCP. Requires --token-file."
        ),
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
    dns: str | None,
    web: str | None,
    aws: str | None,
    zones: tuple[str, ...],
    parameters: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run new commits of the pipelines in FILES (default: pipeline.yaml) and keep deployed releases healthy.

    The services of stacks are kept healthy too. With --aws and without any pipeline.yaml, they are all that is served.

    SIGHUP reloads the files. SIGTERM stops the daemon. A deployment in progress may finish; other runs are requeued.
    """
    if bool(listen) != bool(token_file):
        raise ConfigError("--listen and --token-file require each other", hint="openssl rand -hex 32 > FILE")
    check_aws_options(aws, zones)
    if parameters and len(files) > 1:
        raise ConfigError("-p requires a single FILE", hint="use defaults in the files instead")
    # Without a pipeline, there may be stacks and their services.
    default = () if aws and not Path(FILE).exists() else (Path(FILE),)
    serve(
        files or default,
        listen=listen,
        token_file=token_file,
        public=public,
        dns=dns,
        web=web,
        aws=aws,
        zones=zones,
        parameters=parameters,
        as_json=as_json,
    )


def serve(
    files: Sequence[Path],
    *,
    listen: str | None = None,
    token_file: Path | None = None,
    public: str | None = None,
    dns: str | None = None,
    web: str | None = None,
    aws: str | None = None,
    zones: Sequence[str] = (),
    parameters: Sequence[str] = (),
    as_json: bool = False,
) -> None:
    """Run the daemon until SIGINT or SIGTERM."""
    from pipeline.base.import_without import import_without

    for library, packages in _UNUSED_PACKAGES.items():
        import_without(library, *packages)
    from pipeline.base.logging import configure_logging
    from pipeline.daemon.daemon import Daemon, limit_malloc_arenas
    from pipeline.daemon.watchdog import Watchdog
    from pipeline.store.store import Store

    limit_malloc_arenas()
    configure_logging(as_json=as_json)
    home, watchdog = Home.locate(), Watchdog(os.environ, SYSTEM)
    with ExitStack() as stack:
        _lock_home(home, stack)
        store = stack.enter_context(Store(home.database))
        show = show_json if as_json else _show_pipeline if len(files) > 1 else print_event_with_reason
        given = dict(split_parameter(p) for p in parameters)
        daemon = Daemon(home, store, files, [ignore_broken_pipe(show)], given, zones=zones)
        ensure_socket = _serve_control(daemon, stack, listen, token_file)
        if public:
            _serve_public(daemon, stack, public)
        web_server(daemon, stack, web)
        if dns:
            _serve_names(home, stack, dns)
        if aws:
            stack.enter_context(aws_server(home, aws, zones, daemon.stacks))
        for name, supervisor in daemon.supervisors.items():
            click.echo(f"serving {name} from {supervisor.served_file.file}", err=True)
        if not files:
            click.echo(f"serving the stacks of {home.root}", err=True)
        _listen_to_signals(daemon)
        _run(daemon, watchdog, ensure_socket)


def _run(daemon: Daemon, watchdog: Watchdog, ensure_socket: Callable[[], None]) -> None:
    """Run the daemon until a signal stops it, and notify systemd meanwhile."""

    def progress() -> None:
        watchdog.progress()
        ensure_socket()

    watchdog.ready()
    try:
        daemon.run_forever(progress)
    finally:
        watchdog.stop()
        daemon.close(SHUTDOWN_TIMEOUT, lambda text: click.echo(text, err=True))


def _serve_control(daemon: Daemon, stack: ExitStack, listen: str | None, token_file: Path | None) -> Callable[[], None]:
    """Serve the control API. Return a function that makes the daemon's socket again if another program removed it."""
    from pipeline.base.sockets import private_socket
    from pipeline.http.serving import http_server, public_socket

    path = daemon.home.daemon_socket

    def serve_socket() -> None:
        stack.enter_context(http_server(partial(_control_config, daemon), private_socket(path)))

    def ensure_socket() -> None:
        if not path.is_socket():
            with suppress(SystemFault, OSError):
                serve_socket()

    serve_socket()
    if listen and token_file:
        config = partial(_control_config, daemon, read_token(token_file))
        stack.enter_context(http_server(config, public_socket(listen)))
    return ensure_socket


def _serve_public(daemon: Daemon, stack: ExitStack, address: str) -> None:
    from pipeline.http.serving import http_server, public_socket

    stack.enter_context(http_server(partial(_public_config, daemon), public_socket(address)))


def _serve_names(home: Home, stack: ExitStack, address: str) -> None:
    # Imported only if it is asked for, since it takes 7 MB.
    from pipeline.balancer.names.read import read_names
    from pipeline.balancer.names.server import name_server
    from pipeline.balancer.planes import open_balancer
    from pipeline.http.serving import public_socket

    read = partial(read_names, open_balancer(home.balancer))
    stack.enter_context(name_server(read, public_socket(address)))


def _control_config(daemon: Daemon, token: str | None = None) -> uvicorn.Config:
    from pipeline.http.api import ControlApi
    from pipeline.http.reports import Reports
    from pipeline.http.serving import control_config

    return control_config(ControlApi(Reports.of(daemon), token).app())


def _public_config(daemon: Daemon) -> uvicorn.Config:
    from pipeline.http.inbox import DaemonInbox
    from pipeline.http.public import public_config

    return public_config(DaemonInbox(daemon.supervisors, daemon.store), daemon.store, daemon.supervisors)


def _lock_home(home: Home, stack: ExitStack) -> None:
    try:
        stack.enter_context(work_lock(home.daemon_lock, "pipeline serve"))
    except LockHeld as error:
        from pipeline.http.client import Daemon

        # Raises if the daemon that runs is too old.
        Daemon.find(home)
        hint = f"restart the daemon of {home.root} with this file as well"
        raise LockHeld(error.message, hint=hint) from None


def _show_pipeline(event: Event) -> None:
    """Print an event with its pipeline's name, for a daemon with several pipelines."""
    print_event_with_reason(replace(event, message=f"{event.pipeline}: {event.message}"))


def read_token(file: Path) -> str:
    """Return the token in a file. Raises `ConfigError` if it is too short or other users may read it."""
    try:
        if file.stat().st_mode & 0o177:
            raise ConfigError(f"token file {file} must have mode 0600", hint=f"chmod 600 {file}")
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
    if len(token) < _MIN_TOKEN_LENGTH:
        raise ConfigError(
            f"token in {file} must have at least {_MIN_TOKEN_LENGTH} characters, got {len(token)}",
            hint="openssl rand -hex 32",
        )
    return token


def _listen_to_signals(daemon: Daemon) -> None:
    def stop(_: int, __: FrameType | None) -> None:
        # A second Ctrl-C exits immediately. The next command or daemon recovers.
        signal.signal(signal.SIGINT, lambda *_: os._exit(ExitCode.CANCELLED))
        click.echo("stopping … (Ctrl-C again to exit immediately)", err=True)
        daemon.end()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, lambda *_: daemon.reload())
