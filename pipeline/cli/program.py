"""The command line. It finds the command, and is the only place that maps errors to text and exit codes."""

from __future__ import annotations

import importlib
import os
import select
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NoReturn, TextIO, cast

import click

from pipeline import __version__
from pipeline.base.errors import ExitCode, PenstockError
from pipeline.base.printable import escape_controls, escape_line
from pipeline.cli.commands import COMMANDS, GROUPS, MODULES, SUMMARY


class _OutputClosed(Exception):
    """The reader of the output has exited, as `head` does."""


@contextmanager
def _noticing_closed_output() -> Iterator[None]:
    """Raise `_OutputClosed` for output that nobody reads. click would exit with 1."""
    try:
        yield
    except BrokenPipeError as error:
        if any(map(_is_closed, _outputs())):
            raise _OutputClosed from error
        raise ConnectionError(f"a socket was closed: {error}") from error


def _outputs() -> list[TextIO]:
    # A shell may have closed one of them, as by `>&-`.
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]


def _is_closed(stream: TextIO) -> bool:
    poll = select.poll()
    poll.register(stream, select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


class _Commands(click.Group):
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _noticing_closed_output():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _noticing_closed_output():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        # Each command is a module that is imported when it is called, so no other is imported.
        return cast("click.Command", importlib.import_module(f"pipeline.cli.{MODULES.get(name, name)}").command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS:
            from pipeline.base.suggestion import did_you_mean

            raise click.UsageError(f"unknown command {args[0]} ({did_you_mean(args[0], COMMANDS)})")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(map(len, COMMANDS))
        for group, commands in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])


@click.group(cls=_Commands, help="\n\n".join(SUMMARY), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="penstock")
def cli() -> None:
    """Run no work of its own: the commands do."""


def execute() -> NoReturn:
    """Run the command of the process's arguments and exit with its code."""
    code = _run()
    _discard_unread_output()
    sys.exit(code)


def _run() -> int:
    """Run the command, print its error, and return the exit code."""
    try:
        # The code that a command has set by `exit` of its context. Other commands return None.
        return cli.main(standalone_mode=False) or ExitCode.SUCCEEDED
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        shown, code = error.show, ExitCode.BAD_CONFIGURATION
    except PenstockError as error:
        shown, code = partial(_show, error), error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.CANCELLED
    except _OutputClosed:
        return ExitCode.SUCCEEDED
    except Exception:  # noqa: BLE001  # any other exception is a bug, and needs an exit code too
        shown, code = partial(_show_bug, traceback.format_exc()), ExitCode.SYSTEM_FAULT
    with suppress(BrokenPipeError):
        shown()
    return code


def _discard_unread_output() -> None:
    """Keep the interpreter from failing at its end, when it writes what is left for a reader that has exited."""
    for stream in _outputs():
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _show_bug(text: str) -> None:
    click.echo(escape_controls(text), err=True, nl=False)
    click.echo("This is a bug in Penstock. Please report it with the lines above.", err=True)


def _show(error: PenstockError) -> None:
    click.echo(click.style("error: ", fg="red", bold=True) + escape_controls(error.message), err=True)
    if error.tail:
        click.echo("\n".join(f"  | {escape_line(line)}" for line in error.tail), err=True)
    if error.hint:
        click.echo(f"hint: {escape_controls(error.hint)}", err=True)
