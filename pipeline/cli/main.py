"""The command line. It finds the command, and is the only place that maps errors to text and exit codes."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from typing import Any, NoReturn, cast

import click

from pipeline import __version__
from pipeline.base.errors import ExitCode, PenstockError
from pipeline.base.printable import escape_controls, escape_line

# Each command is a module that is imported when it is called, so `--help` imports none of them.
_GROUPS = {
    "Start": {
        "demo": "Demonstrate a build, a rollout under load, a failure and a rollback.",
        "init": "Create a pipeline.yaml for the project in this directory.",
        "validate": "Report every mistake in pipeline.yaml.",
        "schema": "Print the JSON Schema of pipeline.yaml.",
    },
    "Deploy": {
        "plan": "Show what a run would do. Changes nothing.",
        "run": "Build, test and roll out a commit.",
        "rollback": "Roll back to a previous release.",
        "down": "Drain and remove everything of this pipeline.",
    },
    "Automate": {
        "serve": "Run new commits and keep deployed releases healthy.",
        "watch": "Do the same for one pipeline in the foreground.",
        "hook": "Manage git hooks that notify the daemon.",
        "service": "Manage a systemd unit for `pipeline serve`.",
    },
    "Control": {
        "recover": "Repair the state after a crash.",
        "cancel": "Cancel a run.",
        "retry": "Retry a run that did not succeed.",
        "approve": "Approve a run that waits for approval.",
        "reject": "Reject a run that waits for approval.",
        "transition": "Disable or enable the transition into a stage.",
    },
    "Inspect": {
        "status": "Show the active release, current runs and the queue.",
        "history": "List the latest runs.",
        "releases": "List the releases.",
        "events": "List events.",
        "logs": "Print the output of a run's stages.",
        "artifacts": "List files kept from a run's tests.",
        "balancer": "Show load balancers, rules and targets, their log and metrics.",
    },
}
COMMANDS = {name: text for group in _GROUPS.values() for name, text in group.items()}
"""Every command with its line in the help."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        return cast("click.Command", importlib.import_module(f"pipeline.cli.{name}").command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS:
            from pipeline.base.suggestion import did_you_mean

            raise click.UsageError(f"unknown command {args[0]} ({did_you_mean(args[0], COMMANDS)})")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(map(len, COMMANDS))
        for group, commands in _GROUPS.items():
            with formatter.section(group):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="penstock")
def cli() -> None:
    """Build a commit into a tested image and roll it out behind a load balancer without losing a request.

    Exit codes: 0 succeeded, 1 failed, 2 bad configuration or usage, 3 system fault, 4 rolled back,
    5 rollback failed, 130 cancelled.
    """


def main() -> NoReturn:
    """Run a command and exit with its code."""
    # A command's imports create 50,000 objects and no garbage. Collection would take a tenth of the start time.
    gc.set_threshold(100_000)
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


if __name__ == "__main__":
    main()
