"""The command line. It finds the command, and is the only place that maps errors to text and exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any, NoReturn, cast

import click

from pipeline import __version__
from pipeline.base.errors import ExitCode, PenstockError
from pipeline.base.printable import escape_controls, escape_line
from pipeline.cli.commands import COMMANDS, GROUPS, SUMMARY


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        # Each command is a module that is imported when it is called, so no other is imported.
        return cast("click.Command", importlib.import_module(f"pipeline.cli.{name}").command)

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
    try:
        cli.main(standalone_mode=False)
        code = ExitCode.SUCCEEDED
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        code = ExitCode.BAD_CONFIGURATION
    except PenstockError as error:
        _show(error)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = ExitCode.CANCELLED
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.SUCCEEDED
    except Exception:  # noqa: BLE001  # any other exception is a bug, and needs an exit code too
        click.echo(escape_controls(traceback.format_exc()), err=True, nl=False)
        click.echo("This is a bug in Penstock. Please report it with the lines above.", err=True)
        code = ExitCode.SYSTEM_FAULT
    sys.exit(code)


def _show(error: PenstockError) -> None:
    click.echo(click.style("error: ", fg="red", bold=True) + escape_controls(error.message), err=True)
    if error.tail:
        click.echo("\n".join(f"  | {escape_line(line)}" for line in error.tail), err=True)
    if error.hint:
        click.echo(f"hint: {escape_controls(error.hint)}", err=True)
